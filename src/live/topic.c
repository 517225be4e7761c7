/* SPDX-License-Identifier: ISC */
/*
 * A hash table with chains. Runs on the loop; never blocks, but for a moment
 * when it grows.
 */
#include "live/topic.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { BUCKETS_MIN = 64, LOAD_MAX = 2 /* topics per bucket */ };

void
topics_init(struct topics *ts)
{
	*ts = (struct topics){0};
	random_bytes(&ts->seed, sizeof(ts->seed));
}

void
topics_done(struct topics *ts)
{
	assert(ts->count == 0);
	free(ts->buckets);
	*ts = (struct topics){0};
}

/* FNV-1a, from the seed. The high bits depend on all of the name. */
static struct topic **
bucket_of(const struct topics *ts, const char *name)
{
	uint64_t h = ts->seed;

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
	return &ts->buckets[(h ^ h >> 32) & (ts->n_buckets - 1)];
}

struct topic *
topics_find(const struct topics *ts, const char *name)
{
	struct topic *t = NULL;

	if (ts->count > 0)
		t = *bucket_of(ts, name);
	while (t != NULL && strcmp(t->name, name) != 0)
		t = t->next;
	return t;
}

static void
insert(struct topics *ts, struct topic *t)
{
	struct topic **bucket = bucket_of(ts, t->name);

	t->next = *bucket;
	*bucket = t;
}

/* False without memory: then the chains get longer, if there are any. */
static bool
grow(struct topics *ts)
{
	struct topics old = *ts;
	struct topic *t, *next;
	size_t n = old.n_buckets > 0 ? 2 * old.n_buckets : BUCKETS_MIN;
	struct topic **buckets = calloc(n, sizeof(struct topic *));

	if (buckets == NULL)
		return false;
	ts->buckets = buckets;
	ts->n_buckets = n;
	for (size_t i = 0; i < old.n_buckets; i++)
		for (t = old.buckets[i]; t != NULL; t = next) {
			next = t->next;
			insert(ts, t);
		}
	free(old.buckets);
	return true;
}

struct topic *
topics_add(struct topics *ts, const char *name)
{
	size_t size = strlen(name) + 1;
	struct topic *t;

	if (ts->count >= LOAD_MAX * ts->n_buckets && !grow(ts) &&
	    ts->n_buckets == 0)
		return NULL;
	t = malloc(sizeof(*t) + size);
	if (t == NULL)
		return NULL;
	LIST_INIT(&t->subs);
	memcpy(t->name, name, size);
	insert(ts, t);
	ts->count++;
	return t;
}

void
topics_remove(struct topics *ts, struct topic *t)
{
	struct topic **link = bucket_of(ts, t->name);

	while (*link != t)
		link = &(*link)->next;
	*link = t->next;
	ts->count--;
	free(t);
}
