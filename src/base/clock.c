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

/* Of the Gregorian calendar. Years that begin in March have their leap day at
 * the end, and 153 days in each five of their months. Month 13 is the first of
 * the next year. */
static int64_t
days_since_1970(int year, int month, int day)
{
	int y = month > 2 ? year : year - 1;
	int m = month > 2 ? month - 3 : month + 9;

	return 365 * (int64_t)y + y / 4 - y / 100 + y / 400 +
	       (153 * m + 2) / 5 + day - 1 - 719468;
}

bool
clock_parse_rfc3339(const char *text, int64_t *ret_real_ms)
{
	static const char form[CLOCK_RFC3339_SIZE] = "9999-99-99T99:99:99.999Z";
	enum { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, MS, END, FIELDS };
	static const int min[FIELDS] = {[YEAR] = 1, [MONTH] = 1, [DAY] = 1};
	static const int max[FIELDS] = {9999, 12, 31, 23, 59, 59, 999};
	int v[FIELDS] = {0}, n = YEAR;
	int64_t days;

	for (size_t i = 0; i < sizeof(form); i++) {
		bool is_digit = text[i] >= '0' && text[i] <= '9';

		if (form[i] == '9' ? !is_digit : text[i] != form[i])
			return false;
		if (is_digit)
			v[n] = v[n] * 10 + text[i] - '0';
		else if (v[n] < min[n] || v[n] > max[n])
			return false;
		else
			n++;
	}
	days = days_since_1970(v[YEAR], v[MONTH], v[DAY]);
	if (days >= days_since_1970(v[YEAR], v[MONTH] + 1, 1))
		return false;
	*ret_real_ms = days * 86400000 + v[HOUR] * 3600000 + v[MINUTE] * 60000 +
		       v[SECOND] * 1000 + v[MS];
	return true;
}
