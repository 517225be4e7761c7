/* SPDX-License-Identifier: ISC */
/*
 * The distance between two words, by the usual table of which only three rows
 * are kept. Never blocks.
 */
#include "base/near.h"

#include <stdint.h>
#include <string.h>

static size_t
least(size_t a, size_t b, size_t c)
{
	if (b < a)
		a = b;
	return c < a ? c : a;
}

size_t
near_distance(const char *a, const char *b)
{
	/* Of the first i - 2, i - 1 and i letters of a. */
	size_t rows[3][NEAR_TEXT_MAX + 1];
	size_t n_a = strlen(a), n_b = strlen(b);

	if (n_a > NEAR_TEXT_MAX || n_b > NEAR_TEXT_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= n_b; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= n_a; i++) {
		size_t *row = rows[i % 3];
		const size_t *above = rows[(i + 2) % 3];
		const size_t *second = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= n_b; j++) {
			row[j] = least(above[j] + 1, row[j - 1] + 1,
			    above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && second[j - 2] + 1 < row[j])
				row[j] = second[j - 2] + 1;
		}
	}
	return rows[n_a % 3][n_b];
}

void
near_offer(struct near *n, const char *name)
{
	/* Of a short word, two letters are too much of it. */
	size_t limit = strlen(n->text) <= 3 ? 1 : 2;
	size_t distance = near_distance(n->text, name);

	if (distance <= limit && (n->best == NULL || distance < n->distance)) {
		n->best = name;
		n->distance = distance;
	}
}
