/* SPDX-License-Identifier: ISC */
/*
 * Log lines: one record per line, built on the stack, so that logging works
 * without memory too. Decides nothing about what is worth a line; the programs
 * do. Blocks only as long as a full pipe behind descriptor 2.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum {
	LINE_MAX_BYTES = 4096, /* PIPE_BUF: a write of this size stays whole */
	ESCAPED_PER_BYTE = 4,  /* \xHH */
};

struct line {
	size_t len; /* below LINE_MAX_BYTES: room for the end of line stays */
	char text[LINE_MAX_BYTES];
};

static _Atomic enum log_level max_level = LOG_LEVEL_INFO;

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
};

void
log_set_level(enum log_level level)
{
	max_level = level;
}

enum err
log_open(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY, 0640),
	    saved;
	enum err e = OK;

	if (fd == -1)
		return ERR_SYS;
	if (fd == STDERR_FILENO) /* it was closed */
		return OK;
	/* dup3() and not dup2(), so that it is one system call everywhere. */
	if (dup3(fd, STDERR_FILENO, 0) == -1)
		e = ERR_SYS;
	saved = errno;
	(void)close(fd);
	errno = saved;
	return e;
}

static bool
line_add(struct line *l, const char *p, size_t n)
{
	if (n >= sizeof(l->text) - l->len)
		return false;
	memcpy(l->text + l->len, p, n);
	l->len += n;
	return true;
}

static bool
line_add_str(struct line *l, const char *s)
{
	return line_add(l, s, strlen(s));
}

/* The escape of one byte that may not stand for itself; returns its length. */
static size_t
escape_byte(unsigned char c, char out[ESCAPED_PER_BYTE + 1])
{
	static const char plain[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
	const char *at = memchr(plain, c, sizeof(plain) - 1);

	if (at != NULL) {
		out[0] = '\\';
		out[1] = letters[at - plain];
		return 2;
	}
	return (size_t)snprintf(out, ESCAPED_PER_BYTE + 1, "\\x%02x", c);
}

/* All but printable ASCII is escaped: a byte above 0x7f may be a control
 * character of the terminal that shows the log. */
static size_t
escape(const char *value, size_t n, char *out)
{
	size_t i, len = 0;

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)value[i];

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			len += escape_byte(c, out + len);
		else
			out[len++] = value[i];
	}
	return len;
}

static bool
is_bare(const char *value, size_t n)
{
	static const char bare[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_.:/@+-";

	return n > 0 && strspn(value, bare) >= n;
}

static bool
line_add_pair(struct line *l, const char *key, const char *value)
{
	char text[LOG_VALUE_MAX * ESCAPED_PER_BYTE + 1];
	size_t n = strnlen(value, LOG_VALUE_MAX);
	const char *quote = is_bare(value, n) ? "" : "\"";

	return line_add_str(l, " ") && line_add_str(l, key) &&
	       line_add_str(l, "=") && line_add_str(l, quote) &&
	       line_add(l, text, escape(value, n, text)) &&
	       line_add_str(l, quote);
}

static void
line_write(struct line *l)
{
	ssize_t n;

	l->text[l->len++] = '\n';
	do
		n = write(STDERR_FILENO, l->text, l->len);
	while (n == -1 && errno == EINTR);
}

void
log_pairs(enum log_level level, const char *event, ...)
{
	struct line l = {.len = CLOCK_RFC3339_SIZE - 1};
	const char *key, *value;
	int saved_errno = errno;
	size_t len;
	va_list ap;

	if (level > max_level)
		return;
	clock_rfc3339(clock_real_ms(), l.text);
	(void)line_add_pair(&l, "level", level_names[level]);
	(void)line_add_pair(&l, "event", event);
	va_start(ap, event);
	while ((key = va_arg(ap, const char *)) != NULL) {
		value = va_arg(ap, const char *);
		len = l.len;
		/* A pair that does not fit is left out whole. */
		if (value != NULL && !line_add_pair(&l, key, value))
			l.len = len;
	}
	va_end(ap);
	line_write(&l);
	errno = saved_errno;
}

const char *
log_int(char text[24], long long n)
{
	(void)snprintf(text, 24, "%lld", n);
	return text;
}
