/* SPDX-License-Identifier: ISC */
/* A webhook call that is signed in its header fields, for the tests of those
 * who verify it. */
#ifndef JOBWIRE_SIGNED_CALL_H
#define JOBWIRE_SIGNED_CALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "web/request.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { CALL_FIELDS = 4 };

struct signed_call {
	struct {
		const char *name; /* as CGI spells it; NULL: not sent */
		char value[256];
	} fields[CALL_FIELDS];
	char body[64];
};

/* Verifies the call at a time. */
typedef enum err verify_call_fn(const struct request *r, int64_t now_s);

static inline enum err
verify_call(const struct signed_call *c, verify_call_fn *verify, int64_t now_s)
{
	struct buf variables = BUF_INIT;
	struct request r = {.body = span_of(c->body)};
	enum err e;

	for (size_t i = 0; i < CALL_FIELDS; i++) {
		if (c->fields[i].name == NULL)
			continue;
		buf_addf(&variables, "HTTP_%s=%s", c->fields[i].name,
		    c->fields[i].value);
		buf_add_char(&variables, '\0');
	}
	assert_true(buf_ok(&variables));
	r.variables = buf_span(&variables);
	e = verify(&r, now_s);
	buf_done(&variables);
	return e;
}

/* A letter in the other case is the same hex digit. */
static inline bool
is_same_hex(char a, char b)
{
	return (a ^ b) == 0x20 && strchr("abcdefABCDEF", a) != NULL;
}

/* Flips each bit of the text in turn: none of these calls may be accepted. */
static inline void
assert_bits_count(struct signed_call *c, char *text, bool is_hex,
    verify_call_fn *verify, int64_t now_s)
{
	for (size_t i = 0; i < strlen(text); i++)
		for (int bit = 0; bit < 8; bit++) {
			const char old = text[i];
			enum err e;

			text[i] = (char)(old ^ (1 << bit));
			if (is_hex && is_same_hex(old, text[i])) {
				text[i] = old;
				continue;
			}
			e = verify_call(c, verify, now_s);
			if (e != ERR_AUTH)
				fail_msg("byte %zu, bit %d of %s: %s", i, bit,
				    text, err_text(e));
			text[i] = old;
		}
	assert_int_equal(verify_call(c, verify, now_s), OK);
}

/* Without each of its fields, and with each of them empty. */
static inline void
assert_fields_count(
    struct signed_call *c, verify_call_fn *verify, int64_t now_s)
{
	for (size_t i = 0; i < CALL_FIELDS; i++) {
		struct signed_call other = *c;

		if (c->fields[i].name == NULL)
			continue;
		other.fields[i].value[0] = '\0';
		assert_int_equal(verify_call(&other, verify, now_s), ERR_AUTH);
		other.fields[i].name = NULL;
		assert_int_equal(verify_call(&other, verify, now_s), ERR_AUTH);
	}
}

/* Writes a temporary file into path, a template of mkstemp(3). */
static inline void
write_temporary(char *path, const char *content)
{
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
}

#endif
