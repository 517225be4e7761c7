/* SPDX-License-Identifier: ISC */
/*
 * Signs and verifies webhook URLs with HMAC-SHA256. Finds no parameters (hook
 * does, with web/query.c), checks no job's existence and knows no clock: the
 * time comes from the caller. Never blocks.
 */
#include "auth/url_signature.h"

#include <inttypes.h>
#include <string.h>

#include <openssl/crypto.h>

#include "auth/crypto.h"
#include "text/base64.h"
#include "text/percent.h"

enum { SIG_LEN = 43 }; /* base64 of a MAC without its one '=' */

/*
 * The text that is signed. A line break in the provider or the job would let
 * two claims share one text ("a\nb" with "c" is "a" with "b\nc"), so such
 * claims have none. In restore_id it is harmless: what stands before it cannot
 * hold one, and what follows the last is exp.
 */
static enum err
add_message(struct buf *out, const struct url_claim *c)
{
	const struct span job_id = c->job_id;

	if (strchr(c->provider, '\n') != NULL ||
	    (job_id.n > 0 && memchr(job_id.p, '\n', job_id.n) != NULL))
		return ERR_AUTH;
	buf_addf(out, "jobwire-webhook-v1\n%s\n", c->provider);
	buf_add_span(out, job_id);
	buf_add_char(out, '\n');
	buf_add_span(out, c->restore_id);
	buf_addf(out, "\n%" PRId64, c->exp);
	return buf_ok(out) ? OK : ERR_NOMEM;
}

/* base64url of the message's HMAC under one key. */
static enum err
make_sig(struct span key, struct span message, char ret[SIG_LEN])
{
	unsigned char mac[CRYPTO_MAC_SIZE];
	enum err e = crypto_hmac(key, &message, 1, mac);

	if (e == OK)
		(void)base64_write(ret,
		    (struct span){(const char *)mac, sizeof(mac)}, BASE64_URL);
	return e;
}

static void
add_parameter(struct buf *out, const char *name, struct span value)
{
	if (value.n == 0)
		return;
	buf_add_str(out, name);
	percent_encode(out, value);
	buf_add_char(out, '&');
}

enum err
url_signature_add(
    const struct secrets *k, const struct url_claim *c, struct buf *out)
{
	struct buf message = BUF_INIT;
	char sig[SIG_LEN];
	enum err e = k->n == 0 ? ERR_AUTH : add_message(&message, c);

	if (e == OK)
		e = make_sig(k->keys[0], buf_span(&message), sig);
	buf_done(&message);
	if (e != OK)
		return e;
	add_parameter(out, "job_id=", c->job_id);
	add_parameter(out, "restore_id=", c->restore_id);
	buf_addf(out, "exp=%" PRId64 "&sig=", c->exp);
	buf_add(out, sig, SIG_LEN);
	return buf_ok(out) ? OK : ERR_NOMEM;
}

/* The expected text is compared, not the decoded bytes: base64 of 32 bytes
 * leaves two bits unused, and a decoder would take four spellings of each. */
static enum err
match_any(const struct secrets *k, struct span message, struct span sig,
    bool *ret_is_match)
{
	char expected[SIG_LEN];
	bool is_match = false;

	if (sig.n != SIG_LEN)
		return ERR_AUTH;
	for (size_t i = 0; i < k->n; i++) {
		enum err e = make_sig(k->keys[i], message, expected);

		if (e != OK)
			return e;
		is_match |= CRYPTO_memcmp(expected, sig.p, SIG_LEN) == 0;
	}
	*ret_is_match = is_match;
	return OK;
}

enum err
url_signature_verify(const struct secrets *k, const struct url_claim *c,
    struct span sig, int64_t now_s)
{
	struct buf message = BUF_INIT;
	bool is_match = false;
	enum err e = add_message(&message, c);

	if (e == OK)
		e = match_any(k, buf_span(&message), sig, &is_match);
	buf_done(&message);
	if (e != OK)
		return e;
	if (!is_match)
		return ERR_AUTH;
	return c->exp < now_s ? ERR_EXPIRED : OK;
}
