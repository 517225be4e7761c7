/* SPDX-License-Identifier: ISC */
/*
 * Hands the settings on as values. Pure.
 */
#include "app/auth_settings.h"

static const enum auth_mode modes[] = {
    [EVENTS_AUTH_JOB_ID] = AUTH_JOB_ID,
    [EVENTS_AUTH_JWT] = AUTH_JWT,
    [EVENTS_AUTH_TICKET] = AUTH_TICKET,
    [EVENTS_AUTH_SERVER] = AUTH_SERVER,
};

static const enum jws_alg algs[] = {
    [JWT_ALG_HS256] = JWS_HS256,
    [JWT_ALG_RS256] = JWS_RS256,
    [JWT_ALG_ES256] = JWS_ES256,
};

struct jwt_config
auth_settings_jwt(const struct settings *s)
{
	return (struct jwt_config){
	    .alg = algs[s->jwt_alg],
	    .key = s->jwt_key,
	    .issuer = s->jwt_issuer,
	    .audience = s->jwt_audience,
	};
}

struct authenticator_config
auth_settings_reader(const struct settings *s)
{
	return (struct authenticator_config){
	    .mode = modes[s->events_auth],
	    .jwt = auth_settings_jwt(s),
	    .cookie = s->jwt_cookie,
	    .db_path = s->db,
	    .max_tickets = s->max_tickets,
	};
}

struct hook_keys_config
auth_settings_hook(const struct settings *s)
{
	return (struct hook_keys_config){
	    .webhook_secret = s->webhook_secret,
	    .publish_keys = s->publish_keys,
	    .standard_secret = s->standard_secret,
	    .fal_jwks = s->fal_jwks,
	    .authenticator = auth_settings_reader(s),
	};
}
