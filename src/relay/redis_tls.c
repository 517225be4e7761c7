/* SPDX-License-Identifier: ISC */
/*
 * hiredis gets a connection of OpenSSL's from us: by itself it would not look
 * whose certificate it is.
 */
#include "relay/redis_tls.h"

#ifdef JOBWIRE_REDIS_TLS

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <hiredis/async.h>
#include <hiredis/hiredis_ssl.h>

bool
redis_tls_exists(void)
{
	return true;
}

static bool
expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return true;
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
	       SSL_set_tlsext_host_name(ssl, host) == 1;
}

enum err
redis_tls_start(
    struct redisAsyncContext *ac, const char *host, const char **why)
{
	static SSL_CTX *context; /* of the process */
	SSL *ssl;

	*why = "TLS cannot be set up";
	if (context == NULL && (context = SSL_CTX_new(TLS_client_method())) &&
	    (SSL_CTX_set_default_verify_paths(context) != 1 ||
		SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)) {
		SSL_CTX_free(context);
		context = NULL;
	}
	if (context == NULL || (ssl = SSL_new(context)) == NULL)
		return ERR_SYS;
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	if (!expect_host(ssl, host)) {
		SSL_free(ssl);
		return ERR_SYS;
	}
	/* Takes it, if it succeeds. */
	if (redisInitiateSSL(&ac->c, ssl) != REDIS_OK) {
		*why = "TLS failed" REDIS_TLS_HINT;
		return ERR_SYS;
	}
	return OK;
}

#else

bool
redis_tls_exists(void)
{
	return false;
}

enum err
redis_tls_start(
    struct redisAsyncContext *ac, const char *host, const char **why)
{
	(void)ac;
	(void)host;
	*why = "this hiredis has no TLS";
	return ERR_SYS;
}

#endif
