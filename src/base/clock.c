/* SPDX-License-Identifier: ISC */
/*
 * Time and randomness from the kernel. Timers belong to io/loop. Does not
 * block: getrandom(2) only waits in the first seconds after boot.
 */
#include "base/clock.h"

#include <sys/random.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* 9999-12-31T23:59:59.999Z, the last moment RFC 3339 can write. */
static const int64_t last_ms = INT64_C(253402300799999);

int64_t
clock_mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
clock_real_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void
clock_rfc3339(int64_t real_ms, char ret_text[CLOCK_RFC3339_SIZE])
{
	struct tm tm;
	time_t seconds;
	size_t n;

	if (real_ms < 0)
		real_ms = 0;
	if (real_ms > last_ms)
		real_ms = last_ms;
	seconds = (time_t)(real_ms / 1000);
	gmtime_r(&seconds, &tm);
	n = strftime(ret_text, CLOCK_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(ret_text + n, CLOCK_RFC3339_SIZE - n, ".%03uZ",
	    (unsigned)(real_ms % 1000));
}

void
random_bytes(void *p, size_t n)
{
	unsigned char *at = p;
	ssize_t got;

	while (n > 0) {
		got = getrandom(at, n, 0);
		if (got < 0) {
			if (errno == EINTR)
				continue;
			abort();
		}
		at += got;
		n -= (size_t)got;
	}
}

int64_t
random_between(int64_t lo, int64_t hi)
{
	uint64_t range = (uint64_t)hi - (uint64_t)lo + 1;
	uint64_t r;

	random_bytes(&r, sizeof(r));
	/* The remainder's bias is below 2^-32 for every range under 2^32,
	 * which is plenty for jitter. Range 0 stands for all 2^64 values. */
	if (range != 0)
		r %= range;
	return (int64_t)((uint64_t)lo + r);
}

bool
clock_parse_rfc3339(const char *text, int64_t *ret_real_ms)
{
	char again[CLOCK_RFC3339_SIZE];
	struct tm tm = {0};
	int64_t real_ms;
	int ms;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &tm.tm_year,
		&tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec,
		&ms) != 7)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	real_ms = (int64_t)timegm(&tm) * 1000 + ms;
	/* sscanf() takes signs and spaces, timegm() a month 13. */
	clock_rfc3339(real_ms, again);
	if (strcmp(text, again) != 0)
		return false;
	*ret_real_ms = real_ms;
	return true;
}
