/* SPDX-License-Identifier: ISC */
/* Tokens that are checked. They were made beforehand, as an ES256 signature has
 * a random part; both say {"sub":"alice","iat":1790000000,"exp":1800000000,
 * "jti":"bench-1"}. */
#include "auth/jwt.h"
#include "micro.h"

#define CLAIMS                                                                 \
	"eyJzdWIiOiJhbGljZSIsImlhdCI6MTc5MDAwMDAwMCwiZXhwIjoxODAwMDAwMDAwLCJ"  \
	"qdGkiOiJiZW5jaC0xIn0"
#define HS256_TOKEN                                                            \
	"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." CLAIMS                         \
	".Q747WWfQV60h1fMDTQy5GOoM-MVAERFx_mdWaPok0Tg"
#define ES256_TOKEN                                                            \
	"eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9." CLAIMS                         \
	".Lt6WUcuUfp9LnJMIRJVJnBUpZ_GY8tD055E62gDPkgdqe96sYKWl5mFawz8ReESLl"   \
	"bhsIs5IkYzq9-GinJqd7Q"
#define HS256_KEY "0123456789abcdef0123456789abcdef"
#define ES256_KEY                                                              \
	"-----BEGIN PUBLIC KEY-----\n"                                         \
	"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEu+LRR68Jef41iFFOIm4ZvWGtXsu1\n"   \
	"YA0B99tvLzmgP5qnbvfPrHLD1es4W9+V1Cl2Q/FFoq6y1Ja+MfcZRlSGBQ==\n"       \
	"-----END PUBLIC KEY-----\n"

enum { REPEATS = 16 };

static struct jwt *jwt;
static struct span token;

static void
set_up(enum jws_alg alg, const char *key, const char *text)
{
	const struct jwt_config config = {.alg = alg, .key = key};
	struct buf message = BUF_INIT;

	micro_must(jwt_new(&config, &jwt, &message) == OK, "there is a key");
	token = span_of(text);
}

static void
set_up_hs256(void)
{
	set_up(JWS_HS256, HS256_KEY, HS256_TOKEN);
}

static void
set_up_es256(void)
{
	set_up(JWS_ES256, ES256_KEY, ES256_TOKEN);
}

static void
run(void)
{
	enum token_rule rule;
	struct claims claims;

	for (int i = 0; i < REPEATS; i++) {
		micro_must(
		    jwt_verify(jwt, token, MICRO_NOW, &claims, &rule) == OK,
		    "a token is good");
		claims_done(&claims);
	}
}

const struct micro_case micro_auth[] = {
    {"token_hs256", REPEATS, set_up_hs256, run},
    {"token_es256", REPEATS, set_up_es256, run},
    {NULL, 0, NULL, NULL},
};
