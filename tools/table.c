/* SPDX-License-Identifier: ISC */
/*
 * Collects rows to know how wide their columns must be. The commands decide
 * what stands in them.
 */
#include "table.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH_MAX = 60 }; /* of a cell on a terminal; an error may be long */

/* Characters of UTF-8: all bytes but those that continue one. */
static size_t
width_of(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n < WIDTH_MAX ? n : WIDTH_MAX;
}

/* How many bytes the control character at the beginning has; 0: none is there.
 * Those from U+0080 on have two, and U+009B does what ESC [ does. */
static size_t
control_len(struct span text)
{
	unsigned char c = (unsigned char)text.p[0];

	if (c < ' ' || c == 0x7f)
		return 1;
	return c == 0xc2 && text.n > 1 && (unsigned char)text.p[1] < 0xa0 ? 2
									  : 0;
}

void
table_add_clean(struct buf *out, struct span text)
{
	size_t n;

	for (; text.n > 0; text.p += n, text.n -= n) {
		n = control_len(text);
		buf_add_char(out, n > 0 ? '?' : *text.p);
		n = n > 0 ? n : 1;
	}
}

void
table_escape(struct buf *json)
{
	struct buf out = BUF_INIT;
	struct span text = buf_span(json);
	size_t n;

	for (; text.n > 0; text.p += n, text.n -= n) {
		n = control_len(text);
		if (n > 0 && (unsigned char)*text.p >= 0x7f)
			buf_addf(&out, "\\u%04x", (unsigned char)text.p[n - 1]);
		else
			buf_add_char(&out, *text.p);
		n = n > 0 ? n : 1;
	}
	out.failed = out.failed || !buf_ok(json);
	buf_done(json);
	*json = out;
}

void
table_add(struct table *t, struct span text)
{
	size_t start = t->cells.len, width;
	int column = t->n_cells++ % t->n_columns;

	table_add_clean(&t->cells, text);
	buf_add_char(&t->cells, '\0');
	if (!buf_ok(&t->cells))
		return;
	width = width_of(t->cells.data + start);
	if (width > t->widths[column])
		t->widths[column] = width;
}

/* One cell and what separates it from the next. */
static void
print_aligned(const char *text, size_t width, bool is_last)
{
	size_t gap = width - width_of(text) + 2, n = 0;

	for (; *text != '\0'; text++) {
		n += ((unsigned char)*text & 0xc0) != 0x80;
		if (n > WIDTH_MAX)
			break;
		(void)putchar(*text);
	}
	if (is_last)
		(void)putchar('\n');
	else
		(void)printf("%*s", (int)gap, "");
}

bool
table_print(struct table *t)
{
	bool is_terminal = isatty(STDOUT_FILENO) == 1, is_whole;
	const char *text = t->cells.data;

	is_whole = buf_ok(&t->cells);
	for (int i = 0; is_whole && i < t->n_cells; i++) {
		int column = i % t->n_columns;
		bool is_last = column == t->n_columns - 1;

		if (is_terminal)
			print_aligned(text, t->widths[column], is_last);
		else if (i >= t->n_columns)
			(void)printf("%s%c", text, is_last ? '\n' : '\t');
		text += strlen(text) + 1;
	}
	buf_done(&t->cells);
	return is_whole;
}
