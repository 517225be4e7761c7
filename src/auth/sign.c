/* SPDX-License-Identifier: ISC */
/*
 * Signs and verifies webhook URLs with HMAC-SHA256 of libcrypto. Finds no
 * parameters (hook does, with web/query.c), checks no job's existence and
 * knows no clock: the time comes from the caller. Only sign_keys_load() may
 * block, on its file.
 */
#include "auth/sign.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "auth/crypto.h"
#include "base/file.h"
#include "text/base64.h"
#include "text/hex.h"
#include "text/percent.h"
#include "text/span.h"

enum {
	SIG_LEN = 43, /* base64 of a MAC without its one '=' */
	KEY_FILE_MAX =
	    65536 /* some hundred secrets; not a mistaken disk image */
};

/* Appends a copy of the secret. */
static enum err
add_key(struct sign_keys *k, struct span secret)
{
	struct span *keys = realloc(k->keys, (k->n + 1) * sizeof(*keys));
	char *copy;

	if (keys == NULL)
		return ERR_NOMEM;
	k->keys = keys;
	copy = span_dup(secret);
	if (copy == NULL)
		return ERR_NOMEM;
	k->keys[k->n++] = (struct span){copy, secret.n};
	return OK;
}

static enum err
add_keys(struct sign_keys *k, struct span list, size_t min, struct buf *message)
{
	while (list.n > 0) {
		struct span secret =
		    span_trim(span_cut_any(&list, ",\n"), " \t\r");
		enum err e;

		if (secret.n == 0)
			continue;
		if (secret.n < min) {
			buf_addf(message,
			    "secret %zu is shorter than %zu bytes", k->n + 1,
			    min);
			return ERR_LIMIT;
		}
		e = add_key(k, secret);
		if (e != OK) {
			buf_add_str(message, err_text(e));
			return e;
		}
	}
	return OK;
}

static enum err
read_list(const char *path, struct buf *list, struct buf *message)
{
	enum err e = file_read(path, KEY_FILE_MAX, list);
	int saved = errno;

	if (e != OK)
		buf_addf(message, "%s: %s", path,
		    e == ERR_SYS ? strerror(saved) : err_text(e));
	errno = saved;
	return e;
}

enum err
sign_keys_load(const char *value, struct sign_keys *ret, struct buf *message)
{
	return sign_list_load(value, SIGN_KEY_MIN, ret, message);
}

enum err
sign_list_load(
    const char *value, size_t min, struct sign_keys *ret, struct buf *message)
{
	struct sign_keys keys = {0};
	struct buf content = BUF_INIT;
	struct span list = span_of(value);
	bool is_file = list.n > 0 && *list.p == '@';
	enum err e = OK;

	if (is_file) {
		e = read_list(value + 1, &content, message);
		list = buf_span(&content);
	}
	if (e == OK)
		e = add_keys(&keys, list, min, message);
	/* Named, it was to hold one: it may be half written. */
	if (e == OK && is_file && keys.n == 0) {
		buf_addf(message, "%s: holds no secret", value + 1);
		e = ERR_LIMIT;
	}
	if (content.data != NULL)
		OPENSSL_cleanse(content.data, content.len);
	buf_done(&content);
	if (e == OK)
		*ret = keys;
	else
		sign_keys_done(&keys);
	return e;
}

void
sign_keys_done(struct sign_keys *k)
{
	for (size_t i = 0; i < k->n; i++) {
		char *bytes = (char *)(uintptr_t)k->keys[i].p;

		OPENSSL_cleanse(bytes, k->keys[i].n);
		free(bytes);
	}
	free(k->keys);
	*k = (struct sign_keys){0};
}

/*
 * The text that is signed. A line break in the provider or the job would let
 * two claims share one text ("a\nb" with "c" is "a" with "b\nc"), so such
 * claims have none. In restore_id it is harmless: what stands before it cannot
 * hold one, and what follows the last is exp.
 */
static enum err
add_message(struct buf *out, const struct sign_claim *c)
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
sign_add_query(
    const struct sign_keys *k, const struct sign_claim *c, struct buf *out)
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
match_any(const struct sign_keys *k, struct span message, struct span sig,
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
sign_verify(const struct sign_keys *k, const struct sign_claim *c,
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

enum err
sign_digest(struct span bytes, char ret[SIGN_DIGEST_SIZE])
{
	return sign_digest_of(&bytes, 1, ret);
}

enum err
sign_digest_of(const struct span *parts, size_t n, char ret[SIGN_DIGEST_SIZE])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok =
	    ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

	for (size_t i = 0; i < n && ok; i++)
		ok = EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, md, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (!ok)
		return ERR_NOMEM;
	hex_write(ret, md, (SIGN_DIGEST_SIZE - 1) / 2);
	return OK;
}

void
sign_prepare(void)
{
	(void)OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
}
