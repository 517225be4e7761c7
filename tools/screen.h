/* SPDX-License-Identifier: ISC */
/*
 * A page on standard output that is drawn again and again: lines with a label
 * and short items, then rows. On a terminal it fits the window, by plain ANSI
 * sequences; else it is text of 80 columns, or COLUMNS.
 */
#ifndef JOBWIRE_SCREEN_H
#define JOBWIRE_SCREEN_H

#include <stdbool.h>

#include "base/buf.h"

/* All zero is a new one. */
struct screen {
	struct buf out; /* owned (screen_done) */
	bool is_live;	/* drawn over the one before */
	bool has_colours;
	int width, height, line; /* characters; lines, and how many are full */
	int column;		 /* of the present line; 0: it is empty */
	int items;
};

void screen_done(struct screen *s);

/* Takes the terminal for live pages, and gives it back. */
void screen_open(void);
void screen_close(void);

/* Begins a page. */
void screen_begin(struct screen *s, bool is_live);

/* A new line with a label, and its items, which go on in the next line where
 * they do not fit. is_bad: it stands out. */
void screen_line(struct screen *s, const char *label);
void screen_item(struct screen *s, bool is_bad, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* An item that begins with a number; `-` for NAN. */
void screen_number(struct screen *s, double number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A line that is cut at the window's edge, its control characters shown as `?`.
 * What is below the window is dropped. */
void screen_row(struct screen *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void screen_heading(struct screen *s, const char *text);

/* How many rows there is room for. */
int screen_rows_left(const struct screen *s);

/* Shows the page. False: memory was short. */
bool screen_end(struct screen *s);

/* "12 s", "3 min", "5 h", "2 d"; nothing for NAN. */
void screen_add_duration(struct buf *out, double seconds);
/* "3.4 MiB"; `-` for NAN. */
void screen_add_bytes(struct buf *out, double bytes);

#endif
