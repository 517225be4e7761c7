/* SPDX-License-Identifier: ISC */
/*
 * Verifies Standard Webhooks with HMAC-SHA256 of libcrypto. hook knows
 * what a body means and what is answered. Only standard_keys_load() may block,
 * on its file.
 */
#include "auth/standard_signature.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "auth/crypto.h"
#include "auth/secrets.h"
#include "auth/timestamp.h"
#include "text/base64.h"
#include "text/span.h"

#define PREFIX "whsec_"
#define RAW "raw:"
#define VERSION "v1,"

enum {
	MAC_LEN = 44,				 /* base64 of a MAC */
	SIG_LEN = sizeof(VERSION) - 1 + MAC_LEN, /* an entry of the list */
};

/* --- Loading -------------------------------------------------------------- */

/* For secrets that their sender uses as they are, without base64. */
static enum err
take_raw(struct span bytes, struct standard_key *ret, struct buf *why)
{
	if (bytes.n < SECRETS_MIN || bytes.n > STANDARD_RAW_MAX) {
		buf_addf(why, "does not have %d to %d bytes behind " RAW,
		    SECRETS_MIN, STANDARD_RAW_MAX);
		return ERR_LIMIT;
	}
	memcpy(ret->bytes, bytes.p, bytes.n);
	ret->n = bytes.n;
	return OK;
}

static enum err
decode(struct span text, struct standard_key *ret, struct buf *why)
{
	enum err e;

	if (span_cut_prefix(&text, SPAN_LIT(RAW)))
		return take_raw(text, ret, why);
	if (span_eq_str(text, "v1a") ||
	    span_cut_prefix(&text, SPAN_LIT("whpk_"))) {
		buf_add_str(why, "is a public key (v1a): not taken, use a "
				 "sender's " PREFIX " secret");
		return ERR_PROTO;
	}
	(void)span_cut_prefix(&text, SPAN_LIT(PREFIX));
	e = base64_read(
	    text, BASE64_ANY, ret->bytes, STANDARD_KEY_MAX, &ret->n);
	if (e == OK && ret->n < STANDARD_KEY_MIN)
		e = ERR_LIMIT;
	if (e == ERR_LIMIT)
		buf_addf(why, "does not have %d to %d bytes", STANDARD_KEY_MIN,
		    STANDARD_KEY_MAX);
	else if (e != OK)
		buf_add_str(why, "is not " PREFIX " and base64");
	return e;
}

static enum err
decode_all(
    const struct secrets *texts, struct standard_keys *k, struct buf *message)
{
	struct buf why = BUF_INIT;
	enum err e = OK;

	k->keys = calloc(texts->n, sizeof(*k->keys));
	if (k->keys == NULL) {
		buf_add_str(message, err_text(ERR_NOMEM));
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < texts->n && e == OK; i++) {
		/* `v1,` says of what is behind it what it is. */
		if (span_eq_str(texts->keys[i], "v1") && i + 1 < texts->n)
			continue;
		e = decode(texts->keys[i], &k->keys[k->n++], &why);
	}
	if (e != OK)
		buf_addf(message, "secret %zu %s", k->n, buf_span(&why).p);
	buf_done(&why);
	return e;
}

enum err
standard_keys_load(
    const char *value, struct standard_keys *ret, struct buf *message)
{
	struct standard_keys made = {0};
	struct secrets texts = {0};
	enum err e = secrets_load_min(value, 1, &texts, message);

	if (e == OK && texts.n > 0)
		e = decode_all(&texts, &made, message);
	secrets_done(&texts);
	if (e == OK)
		*ret = made;
	else
		standard_keys_done(&made);
	return e;
}

void
standard_keys_done(struct standard_keys *k)
{
	if (k->keys != NULL)
		OPENSSL_cleanse(k->keys, k->n * sizeof(*k->keys));
	free(k->keys);
	*k = (struct standard_keys){0};
}

/* --- Verifying ------------------------------------------------------------ */

const char *
standard_header(const struct request *r, const char *name)
{
	static const char *const prefixes[] = {"webhook-", "svix-"};
	const char *value = "";
	char field[32];

	for (size_t i = 0; i < 2 && *value == '\0'; i++) {
		(void)snprintf(field, sizeof(field), "%s%s", prefixes[i], name);
		value = request_header(r, field);
	}
	return value;
}

/* What the list must hold for one key. */
static enum err
make_signature(const struct standard_key *key, const struct span *parts,
    size_t n_parts, char ret[SIG_LEN])
{
	unsigned char mac[CRYPTO_MAC_SIZE];
	enum err e =
	    crypto_hmac((struct span){(const char *)key->bytes, key->n}, parts,
		n_parts, mac);

	if (e != OK)
		return e;
	memcpy(ret, VERSION, sizeof(VERSION) - 1);
	(void)base64_write(ret + sizeof(VERSION) - 1,
	    (struct span){(const char *)mac, sizeof(mac)}, BASE64_PADDED);
	return OK;
}

/* The expected text is compared, not the decoded bytes: base64 of 32 bytes
 * leaves two bits unused, and a decoder would take four spellings of each. */
static bool
is_in_list(const char *expected, struct span list)
{
	bool is_match = false;

	while (list.n > 0) {
		struct span entry = span_cut(&list, ' ');

		if (entry.n == SIG_LEN)
			is_match |=
			    CRYPTO_memcmp(expected, entry.p, SIG_LEN) == 0;
	}
	return is_match;
}

enum err
standard_verify(
    const struct standard_keys *k, const struct request *r, int64_t now_s)
{
	const char *id = standard_header(r, "id");
	const char *timestamp = standard_header(r, "timestamp");
	const struct span signatures = span_of(standard_header(r, "signature"));
	const struct span parts[] = {span_of(id), SPAN_LIT("."),
	    span_of(timestamp), SPAN_LIT("."), r->body};
	char expected[SIG_LEN];
	bool is_match = false;

	if (k->n == 0)
		return ERR_NOENT;
	if (*id == '\0')
		return ERR_AUTH;
	for (size_t i = 0; i < k->n; i++) {
		enum err e = make_signature(&k->keys[i], parts,
		    sizeof(parts) / sizeof(parts[0]), expected);

		if (e != OK)
			return e;
		is_match |= is_in_list(expected, signatures);
	}
	return is_match ? timestamp_check(timestamp, now_s) : ERR_AUTH;
}
