/* SPDX-License-Identifier: ISC */
/*
 * Lays a page out and writes it at once, so that it does not flicker. Blocks
 * on the terminal.
 */
#include "screen.h"

#include <sys/ioctl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "table.h"

enum { LABEL_WIDTH = 9, ITEM_MAX = 120, WIDTH = 80, WIDTH_MIN = 20 };

/* Another page of the terminal, and no cursor. */
#define OPEN "\033[?1049h\033[?25l"
#define CLOSE "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define END_LINE "\033[K"
#define END_PAGE "\033[J"
#define BOLD "\033[1m"
#define RED "\033[1;31m"
#define REVERSE "\033[7m"
#define PLAIN "\033[0m"

void
screen_done(struct screen *s)
{
	buf_done(&s->out);
}

static void
put(const char *sequence)
{
	(void)fputs(sequence, stdout);
	(void)fflush(stdout);
}

void
screen_open(void)
{
	put(OPEN);
}

void
screen_close(void)
{
	put(CLOSE);
}

static void
find_size(struct screen *s)
{
	const char *columns = getenv("COLUMNS");
	struct winsize window = {0};

	s->width = columns != NULL ? atoi(columns) : WIDTH;
	s->height = 0;
	if (isatty(STDOUT_FILENO) &&
	    ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 &&
	    window.ws_col > 0) {
		s->width = window.ws_col;
		s->height = window.ws_row;
	}
	if (s->width < WIDTH_MIN)
		s->width = WIDTH_MIN;
}

void
screen_begin(struct screen *s, bool is_live)
{
	const char *none = getenv("NO_COLOR");

	buf_reset(&s->out);
	s->is_live = is_live;
	s->has_colours =
	    isatty(STDOUT_FILENO) && (none == NULL || *none == '\0');
	s->line = s->column = 0;
	find_size(s);
	if (is_live)
		buf_add_str(&s->out, HOME);
}

static void
paint(struct screen *s, const char *sequence)
{
	if (s->has_colours)
		buf_add_str(&s->out, sequence);
}

static bool
is_full(const struct screen *s)
{
	return s->is_live && s->height > 0 && s->line >= s->height;
}

/* The line that was begun, but for the last of the window, whose end would
 * move the page up. */
static void
end_line(struct screen *s)
{
	if (s->is_live)
		buf_add_str(&s->out, END_LINE);
	s->line++;
	if (!is_full(s))
		buf_add_char(&s->out, '\n');
	s->column = 0;
}

static void
add_spaces(struct screen *s, int n)
{
	for (; n > 0; n--, s->column++)
		buf_add_char(&s->out, ' ');
}

void
screen_line(struct screen *s, const char *label)
{
	if (s->column > 0)
		end_line(s);
	if (is_full(s))
		return;
	paint(s, BOLD);
	buf_add_str(&s->out, label);
	paint(s, PLAIN);
	s->column = (int)strlen(label);
	add_spaces(s, LABEL_WIDTH - s->column);
	s->items = 0;
}

static void
add_item(struct screen *s, bool is_bad, const char *text)
{
	int n = (int)strlen(text), gap = s->items > 0 ? 2 : 0;

	if (is_full(s))
		return;
	if (s->items > 0 && s->column + gap + n > s->width) {
		end_line(s);
		if (is_full(s))
			return;
		gap = LABEL_WIDTH;
	}
	add_spaces(s, gap);
	if (n > s->width - s->column)
		n = s->width - s->column;
	if (is_bad)
		paint(s, RED);
	buf_add(&s->out, text, (size_t)n);
	if (is_bad)
		paint(s, PLAIN);
	s->column += n;
	s->items++;
}

void
screen_item(struct screen *s, bool is_bad, const char *format, ...)
{
	char text[ITEM_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add_item(s, is_bad, text);
}

void
screen_number(struct screen *s, double number, const char *format, ...)
{
	char text[ITEM_MAX], *rest = text;
	va_list args;
	int n;

	if (isnan(number))
		n = snprintf(text, sizeof(text), "-");
	else if (number == floor(number))
		n = snprintf(text, sizeof(text), "%.0f", number);
	else
		n = snprintf(text, sizeof(text), "%.1f", number);
	rest += n;
	if (format[0] != '/')
		*rest++ = ' ';
	va_start(args, format);
	(void)vsnprintf(
	    rest, sizeof(text) - (size_t)(rest - text), format, args);
	va_end(args);
	add_item(s, false, text);
}

/* At most so many characters of UTF-8 text. */
static size_t
cut(const char *text, size_t n, int width)
{
	size_t i = 0;

	for (; i < n; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80 && width-- == 0)
			break;
	return i;
}

static void
add_row(struct screen *s, const char *look, struct span text)
{
	struct buf clean = BUF_INIT;

	if (s->column > 0)
		end_line(s);
	if (!is_full(s)) {
		table_add_clean(&clean, text);
		paint(s, look);
		buf_add(&s->out, buf_span(&clean).p,
		    cut(buf_span(&clean).p, clean.len, s->width));
		paint(s, PLAIN);
		end_line(s);
	}
	s->out.failed = s->out.failed || !buf_ok(&clean);
	buf_done(&clean);
}

void
screen_row(struct screen *s, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add_row(s, "", span_of(text));
}

void
screen_heading(struct screen *s, const char *text)
{
	add_row(s, REVERSE, span_of(text));
}

int
screen_rows_left(const struct screen *s)
{
	int begun = s->column > 0 ? 1 : 0;

	return s->height > 0 ? s->height - s->line - begun : 0;
}

bool
screen_end(struct screen *s)
{
	if (s->column > 0)
		end_line(s);
	if (s->is_live)
		buf_add_str(&s->out, END_PAGE);
	if (!buf_ok(&s->out))
		return false;
	(void)fwrite(s->out.data, 1, s->out.len, stdout);
	(void)fflush(stdout);
	return true;
}

void
screen_add_duration(struct buf *out, double seconds)
{
	if (isnan(seconds))
		return;
	seconds = seconds < 0 ? 0 : seconds; /* the clock was set back */
	if (seconds < 120)
		buf_addf(out, "%.0f s", seconds);
	else if (seconds < 2 * 3600)
		buf_addf(out, "%.0f min", floor(seconds / 60));
	else if (seconds < 2 * 86400)
		buf_addf(out, "%.0f h", floor(seconds / 3600));
	else
		buf_addf(out, "%.0f d", floor(seconds / 86400));
}

void
screen_add_bytes(struct buf *out, double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t i = 0;

	if (isnan(bytes)) {
		buf_add_char(out, '-');
		return;
	}
	for (; bytes >= 1024 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
		bytes /= 1024;
	buf_addf(
	    out, i > 0 && bytes < 100 ? "%.1f %s" : "%.0f %s", bytes, units[i]);
}
