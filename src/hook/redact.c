/* SPDX-License-Identifier: ISC */
/*
 * Walks the members of a body, as text. What they mean is in the providers'
 * files; what is done with the copy in call_inbox.c.
 */
#include "hook/redact.h"

#include <ctype.h>
#include <string.h>

#include "text/json_text.h"
#include "text/span.h"

#define LEFT_OUT "\"[left out]\""

enum { NAME_MAX_BYTES = 128 };

/* Does the raw key hold one of these, in whatever case? A longer one counts as
 * secret. */
static bool
is_secret_name(struct span key)
{
	static const char *const words[] = {"token", "secret", "passw", "key",
	    "auth", "signature", "cookie", "credential", "session"};
	char lower[NAME_MAX_BYTES + 1] = "";

	/* An escape could spell any of them. (An array's item has no key.) */
	if (key.n > NAME_MAX_BYTES ||
	    (key.n > 0 && memchr(key.p, '\\', key.n) != NULL))
		return true;
	for (size_t i = 0; i < key.n; i++)
		lower[i] = (char)tolower((unsigned char)key.p[i]);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strstr(lower, words[i]) != NULL)
			return true;
	return false;
}

/* The end of an introduction of a signature that begins at text.p; 0: none
 * does. */
static size_t
skip_sig(struct span text)
{
	static const char *const starts[] = {
	    "sig=", "sig%3D", "sig%3d", "sig\\u003d", "sig\\u003D"};

	for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
		size_t n = strlen(starts[i]);

		if (text.n >= n && memcmp(text.p, starts[i], n) == 0)
			return n;
	}
	return 0;
}

/* Copies a value, without the signatures of URLs in it. */
static void
add_unsigned(struct buf *out, struct span value)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t i = 0, n;

	while (i < value.n) {
		n = skip_sig((struct span){value.p + i, value.n - i});
		if (n == 0) {
			buf_add_char(out, value.p[i++]);
			continue;
		}
		buf_add(out, value.p + i, n);
		i += n;
		while (i < value.n &&
		       memchr(letters, value.p[i], sizeof(letters) - 1) != NULL)
			i++;
	}
}

/* Of the echo of a request only our own id of the job, if it has that. */
static void
add_input(struct buf *out, struct span input)
{
	struct span job_id;

	if (json_text_kind(input) == JSON_TEXT_OBJECT &&
	    json_text_get(input, "job_id", &job_id) &&
	    json_text_kind(job_id) == JSON_TEXT_STRING) {
		buf_add_str(out, "{\"job_id\":");
		add_unsigned(out, job_id);
		buf_add_char(out, '}');
	} else {
		buf_add_str(out, LEFT_OUT);
	}
}

static bool
is_left_out(struct span key, enum json_text_kind kind)
{
	return json_text_key_is(key, "webhook") ||
	       (kind == JSON_TEXT_STRING && is_secret_name(key));
}

static void add_parts(struct buf *out, struct span whole);

static void
add_member(struct buf *out, struct span key, struct span value)
{
	enum json_text_kind kind = json_text_kind(value);

	if (json_text_key_is(key, "output") || json_text_key_is(key, "payload"))
		buf_add_span(out, value);
	else if (is_left_out(key, kind))
		buf_add_str(out, LEFT_OUT);
	else if (json_text_key_is(key, "input"))
		add_input(out, value);
	else if (kind == JSON_TEXT_OBJECT || kind == JSON_TEXT_ARRAY)
		add_parts(out, value);
	else
		add_unsigned(out, value);
}

/* The members of an object, or the items of an array; no deeper than
 * JSON_TEXT_DEPTH_MAX. */
static void
add_parts(struct buf *out, struct span whole)
{
	bool is_object = json_text_kind(whole) == JSON_TEXT_OBJECT;
	struct json_text_iter it = {.rest = whole};
	struct span key, value;
	bool is_first = true;

	buf_add_char(out, is_object ? '{' : '[');
	while (json_text_next(&it, &key, &value)) {
		if (!is_first)
			buf_add_char(out, ',');
		is_first = false;
		if (is_object) {
			buf_add_char(out, '"');
			add_unsigned(out, key);
			buf_add_str(out, "\":");
		}
		add_member(out, key, value);
	}
	buf_add_char(out, is_object ? '}' : ']');
}

/* Are they the same but for the space between tokens? Then nothing was left
 * out, and the copy can be the body's own text, by which some reports are
 * known. */
static bool
is_same(struct span body, struct span copy)
{
	struct buf a = BUF_INIT, b = BUF_INIT;
	bool ret;

	json_text_add_line(&a, body);
	json_text_add_line(&b, copy);
	ret = buf_ok(&a) && buf_ok(&b) && span_eq(buf_span(&a), buf_span(&b));
	buf_done(&a);
	buf_done(&b);
	return ret;
}

void
redact_body(struct buf *out, struct span body)
{
	const struct span mark = SPAN_LIT("\xef\xbb\xbf");
	struct buf finite = BUF_INIT, copy = BUF_INIT;
	struct span object;

	(void)span_cut_prefix(&body, mark);
	if (json_text_check(body, &object) != OK) {
		json_text_add_finite(&finite, body);
		if (!buf_ok(&finite) ||
		    json_text_check(buf_span(&finite), &object) != OK)
			goto out;
	}
	if (json_text_kind(object) != JSON_TEXT_OBJECT)
		goto out;
	add_parts(&copy, object);
	if (buf_ok(&copy))
		buf_add_span(out, is_same(object, buf_span(&copy))
				      ? object
				      : buf_span(&copy));
out:
	out->failed = out->failed || finite.failed || copy.failed;
	buf_done(&finite);
	buf_done(&copy);
}
