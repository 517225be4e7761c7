/* SPDX-License-Identifier: ISC */
/*
 * Loads keys and makes and checks signatures, with libcrypto. jwt.c reads what
 * a token says and which key it asks for. Only jws_keys_load() blocks, on its
 * files.
 *
 * Keys are parsed once, here: reading a PEM costs OpenSSL 3 more than five
 * times what verifying with it does.
 */
#include "auth/jws.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "auth/crypto.h"
#include "auth/key_file.h"
#include "text/span.h"

enum { COORDINATE_SIZE = 32 }; /* of P-256; a signature is two of them */

/* --- Loading -------------------------------------------------------------- */

/* Never asks on a terminal. */
static int
no_passphrase(char *text, int size, int for_writing, void *arg)
{
	(void)text;
	(void)size;
	(void)for_writing;
	(void)arg;
	return -1;
}

static bool
is_of_kind(const EVP_PKEY *pem, enum jws_alg alg)
{
	char group[32];
	size_t n;

	if (alg == JWS_RS256)
		return EVP_PKEY_get_base_id(pem) == EVP_PKEY_RSA &&
		       EVP_PKEY_get_bits(pem) >= JWS_RSA_BITS_MIN;
	return EVP_PKEY_get_base_id(pem) == EVP_PKEY_EC &&
	       EVP_PKEY_get_group_name(pem, group, sizeof(group), &n) == 1 &&
	       strcmp(group, "prime256v1") == 0;
}

/* The key of a certificate, whoever signed that and for how long: it is in our
 * settings. */
static EVP_PKEY *
read_certificate(BIO *bio)
{
	X509 *cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
	EVP_PKEY *key = cert != NULL ? X509_get_pubkey(cert) : NULL;

	X509_free(cert);
	return key;
}

static enum err
load_pem(struct jws_key *key, struct span text, enum jws_alg alg,
    bool is_private, struct buf *message)
{
	BIO *bio = BIO_new_mem_buf(text.p, (int)text.n);

	if (bio == NULL)
		return ERR_NOMEM;
	key->pem = is_private
		       ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL)
		       : PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
	if (key->pem == NULL && !is_private && BIO_reset(bio) == 1)
		key->pem = read_certificate(bio);
	BIO_free(bio);
	ERR_clear_error();
	if (key->pem != NULL && is_of_kind(key->pem, alg))
		return OK;
	buf_addf(message, "not a %s in PEM for %s",
	    is_private ? "private key" : "public key or certificate",
	    alg == JWS_RS256 ? "RS256 (RSA, 2048 bits or more)"
			     : "ES256 (EC, P-256)");
	return ERR_PROTO;
}

static enum err
load_secret(struct jws_key *key, struct span text, struct buf *message)
{
	static const char pem[] = "-----BEGIN ";

	/* A public key is no secret: with it anybody could sign. Text may stand
	 * before it (RFC 7468 section 2). */
	if (text.n > 0 &&
	    memmem(text.p, text.n, pem, sizeof(pem) - 1) != NULL) {
		buf_add_str(message, "HS256 takes a secret and not PEM");
		return ERR_PROTO;
	}
	if (text.n < JWS_SECRET_MIN) {
		buf_addf(message, "a secret for HS256 has %d bytes or more",
		    JWS_SECRET_MIN);
		return ERR_LIMIT;
	}
	key->secret.p = span_dup(text);
	if (key->secret.p == NULL)
		return ERR_NOMEM;
	key->secret.n = text.n;
	return OK;
}

static enum err
read_key(struct jws_keys *k, struct jws_key *key, struct span text,
    bool is_private, struct buf *message)
{
	return k->alg == JWS_HS256
		   ? load_secret(key, span_trim(text, " \t\r\n"), message)
		   : load_pem(key, text, k->alg, is_private, message);
}

static enum err
load_file(struct jws_keys *k, struct span name, struct span path,
    bool is_private, struct buf *message)
{
	struct jws_key *key = &k->list[k->n++];
	struct buf content = BUF_INIT, why = BUF_INIT;
	enum err e;

	*key = (struct jws_key){0};
	if (name.n > 0 && (key->name = span_dup(name)) == NULL)
		return ERR_NOMEM;
	e = key_file_read(path, &content, message);
	if (e == OK) {
		e = read_key(k, key, buf_span(&content), is_private, &why);
		if (e != OK)
			buf_addf(message, "%.*s: %s", (int)path.n, path.p,
			    why.len > 0 ? why.data : err_text(e));
	}
	key_file_wipe(&content);
	buf_done(&why);
	return e;
}

enum err
jws_keys_load(const char *value, enum jws_alg alg, bool is_private,
    struct jws_keys *ret, struct buf *message)
{
	struct span rest = span_of(value), name, path;
	size_t n = key_file_count(value);
	struct jws_keys keys = {.alg = alg};
	enum err e = OK;

	if (rest.n == 0) {
		*ret = keys;
		return OK;
	}
	keys.list = calloc(n > 0 ? n : 1, sizeof(*keys.list));
	if (keys.list == NULL)
		return ERR_NOMEM;
	if (n == 0)
		e = read_key(
		    &keys, &keys.list[keys.n++], rest, is_private, message);
	while (e == OK && keys.n < n && key_file_cut(&rest, &name, &path))
		e = load_file(&keys, name, path, is_private, message);
	if (e == OK)
		*ret = keys;
	else
		jws_keys_done(&keys);
	return e;
}

void
jws_keys_done(struct jws_keys *k)
{
	for (size_t i = 0; i < k->n; i++) {
		char *bytes = (char *)(uintptr_t)k->list[i].secret.p;

		if (bytes != NULL)
			OPENSSL_cleanse(bytes, k->list[i].secret.n);
		free(bytes);
		free(k->list[i].name);
		EVP_PKEY_free(k->list[i].pem);
	}
	free(k->list);
	*k = (struct jws_keys){0};
}

const struct jws_key *
jws_keys_find(const struct jws_keys *k, struct span kid)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->list[i].name == NULL ||
		    span_eq_str(kid, k->list[i].name))
			return &k->list[i];
	return NULL;
}

/* --- Signatures ----------------------------------------------------------- */

/* The two numbers of an ECDSA signature (RFC 7518 section 3.4) in the form that
 * libcrypto takes. Returns owned; NULL without memory. */
static unsigned char *
to_der(struct span raw, int *ret_n)
{
	const unsigned char *p = (const unsigned char *)raw.p;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(p, COORDINATE_SIZE, NULL);
	BIGNUM *s = BN_bin2bn(p + COORDINATE_SIZE, COORDINATE_SIZE, NULL);
	unsigned char *der = NULL;

	if (sig != NULL && r != NULL && s != NULL &&
	    ECDSA_SIG_set0(sig, r, s) == 1) {
		r = s = NULL; /* now the signature's */
		*ret_n = i2d_ECDSA_SIG(sig, &der);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(sig);
	return der;
}

/* And back. */
static enum err
add_raw(struct buf *out, const unsigned char *der, size_t n)
{
	unsigned char raw[2 * COORDINATE_SIZE];
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
	bool ok = sig != NULL &&
		  BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, COORDINATE_SIZE) ==
		      COORDINATE_SIZE &&
		  BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + COORDINATE_SIZE,
		      COORDINATE_SIZE) == COORDINATE_SIZE;

	ECDSA_SIG_free(sig);
	if (!ok)
		return ERR_NOMEM;
	buf_add(out, raw, sizeof(raw));
	return buf_ok(out) ? OK : ERR_NOMEM;
}

enum err
jws_verify(enum jws_alg alg, const struct jws_key *key, struct span message,
    struct span signature)
{
	unsigned char mac[CRYPTO_MAC_SIZE], *der;
	int n = 0;
	enum err e;

	switch (alg) {
	case JWS_HS256:
		if (signature.n != sizeof(mac))
			return ERR_AUTH;
		e = crypto_hmac(key->secret, &message, 1, mac);
		if (e != OK)
			return e;
		return CRYPTO_memcmp(mac, signature.p, sizeof(mac)) == 0
			   ? OK
			   : ERR_AUTH;
	case JWS_RS256:
		return crypto_verify(
		    key->pem, EVP_sha256(), message, signature);
	case JWS_ES256:
		if (signature.n != 2 * COORDINATE_SIZE)
			return ERR_AUTH;
		der = to_der(signature, &n);
		e = der == NULL ? ERR_NOMEM
				: crypto_verify(key->pem, EVP_sha256(), message,
				      (struct span){(char *)der, (size_t)n});
		OPENSSL_free(der);
		return e;
	}
	return ERR_AUTH;
}

static enum err
sign_pem(enum jws_alg alg, EVP_PKEY *pem, struct span message, struct buf *out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = (size_t)EVP_PKEY_get_size(pem);
	unsigned char *sig = malloc(n);
	enum err e = ERR_NOMEM;

	if (ctx == NULL || sig == NULL ||
	    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pem) != 1)
		goto out;
	if (EVP_DigestSign(ctx, sig, &n, (const unsigned char *)message.p,
		message.n) != 1) {
		e = ERR_AUTH;
	} else if (alg == JWS_ES256) {
		e = add_raw(out, sig, n);
	} else {
		buf_add(out, sig, n);
		e = buf_ok(out) ? OK : ERR_NOMEM;
	}
out:
	free(sig);
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return e;
}

enum err
jws_sign(enum jws_alg alg, const struct jws_key *key, struct span message,
    struct buf *out)
{
	unsigned char mac[CRYPTO_MAC_SIZE];
	enum err e;

	if (alg != JWS_HS256)
		return sign_pem(alg, key->pem, message, out);
	e = crypto_hmac(key->secret, &message, 1, mac);
	if (e != OK)
		return e;
	buf_add(out, mac, sizeof(mac));
	return buf_ok(out) ? OK : ERR_NOMEM;
}
