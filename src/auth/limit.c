/* SPDX-License-Identifier: ISC */
/*
 * A table of addresses, each with the time at which its failures are all
 * forgiven: that one number is a bucket that drains. Does not know what a
 * failure is. Never blocks but for its own mutex.
 */
#include "auth/limit.h"

#include <sys/mman.h>
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"

enum {
	MINUTE_US = 60 * 1000 * 1000,
	SETS = 1024, /* 64 KiB in all */
	WAYS = 4,
};

struct place {
	uint64_t address;
	int64_t forgiven_us; /* past: the place is free */
};

struct limit {
	pthread_mutex_t lock;
	int64_t cost_us; /* of a failure */
	uint64_t seed;	 /* so that nobody can aim at a set */
	struct place places[SETS][WAYS];
};

static bool
init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;
	bool ok = pthread_mutexattr_init(&attr) == 0;

	if (!ok)
		return false;
	ok = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0 &&
	     pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0 &&
	     pthread_mutex_init(lock, &attr) == 0;
	(void)pthread_mutexattr_destroy(&attr);
	return ok;
}

/* A process that died with the lock has at worst counted one failure for a
 * wrong address. */
static void
take_lock(struct limit *l)
{
	if (pthread_mutex_lock(&l->lock) == EOWNERDEAD)
		(void)pthread_mutex_consistent(&l->lock);
}

enum err
limit_new(int64_t per_minute, struct limit **ret)
{
	struct limit *l;

	if (per_minute == 0) {
		*ret = NULL;
		return OK;
	}
	l = mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (l == MAP_FAILED)
		return ERR_NOMEM;
	if (!init_lock(&l->lock)) {
		limit_free(&l);
		return ERR_NOMEM;
	}
	l->cost_us = MINUTE_US / per_minute;
	random_bytes(&l->seed, sizeof(l->seed));
	*ret = l;
	return OK;
}

void
limit_free(struct limit **limit)
{
	if (*limit != NULL)
		(void)munmap(*limit, sizeof(**limit));
	*limit = NULL;
}

/* IPv4 in the low half, also where it is mapped into IPv6; else the /64. */
static uint64_t
read_address(const char *text)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	unsigned char v6[16];
	uint64_t high = 0;
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return v4.s_addr;
	if (inet_pton(AF_INET6, text, v6) != 1)
		return 0;
	if (memcmp(v6, mapped, sizeof(mapped)) == 0) {
		memcpy(&v4, v6 + sizeof(mapped), sizeof(v4));
		return v4.s_addr;
	}
	memcpy(&high, v6, sizeof(high));
	return high;
}

/* The mixing step of splitmix64. */
static struct place *
find_set(struct limit *l, uint64_t address)
{
	uint64_t h = address ^ l->seed;

	h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
	return l->places[(h ^ h >> 31) % SETS];
}

/* The address's place, else the one that is (or will be) free first. */
static struct place *
find_place(struct limit *l, uint64_t address)
{
	struct place *set = find_set(l, address), *best = set;

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].address == address && set[i].forgiven_us != 0)
			return &set[i];
		if (set[i].forgiven_us < best->forgiven_us)
			best = &set[i];
	}
	return best;
}

int64_t
limit_wait_s(struct limit *limit, const char *address, int64_t now_us)
{
	uint64_t key = read_address(address);
	const struct place *p;
	int64_t over_us = 0;

	if (limit == NULL)
		return 0;
	take_lock(limit);
	p = find_place(limit, key);
	if (p->address == key)
		over_us = p->forgiven_us + limit->cost_us - now_us - MINUTE_US;
	(void)pthread_mutex_unlock(&limit->lock);
	return over_us <= 0 ? 0 : (over_us + 999999) / 1000000;
}

void
limit_count(struct limit *limit, const char *address, int64_t now_us)
{
	uint64_t key = read_address(address);
	struct place *p;

	if (limit == NULL)
		return;
	take_lock(limit);
	p = find_place(limit, key);
	if (p->address != key || p->forgiven_us < now_us)
		*p = (struct place){key, now_us};
	p->forgiven_us += limit->cost_us;
	(void)pthread_mutex_unlock(&limit->lock);
}
