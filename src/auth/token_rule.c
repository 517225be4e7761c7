/* SPDX-License-Identifier: ISC */
/*
 * The rules of tokens in words. They are kept in jwt.c, claims.c and
 * authenticator.c.
 * Pure.
 */
#include "auth/token_rule.h"

const struct token_rule_text token_rule_texts[TOKEN_RULES] = {
    [RULE_FORM] = {"form", "three parts in base64url, separated by dots"},
    [RULE_HEADER] = {"header", "a JSON object, no member twice"},
    [RULE_ALG] = {"alg", "the algorithm is that of jwt_alg"},
    [RULE_CRIT] = {"crit", "no extension that must be understood"},
    [RULE_KID] = {"kid", "the name of one of the keys in jwt_key"},
    [RULE_SIGNATURE] = {"signature", "made with that key of jwt_key"},
    [RULE_PAYLOAD] = {"payload",
	"a JSON object of at most 64 members, none twice"},
    [RULE_ISS] = {"iss", "the text that jwt_issuer says"},
    [RULE_AUD] = {"aud", "the text that jwt_audience says, or a list with it"},
    [RULE_NBF] = {"nbf", "a whole number of seconds, not in the future"},
    [RULE_SUB] = {"sub", "a text of 1 to 256 bytes, not a number"},
    [RULE_EXP] = {"exp", "there, and a number of seconds without an exponent"},
    [RULE_IAT] = {"iat",
	"a number of seconds without an exponent, not in the future"},
    [RULE_JTI] = {"jti", "a text of 1 to 256 bytes"},
    [RULE_JOBS] = {"jobs", "a list of texts"},
    [RULE_LIFE] = {"life", "exp is at most 366 days after iat"},
    [RULE_EXPIRED] = {"expired", "exp is in the future"},
    [RULE_REVOKED] = {"revoked", "not taken back"},
    [RULE_TICKET] = {"ticket", "there, not used, and at most 30 seconds old"},
};

enum err
token_rule_break(enum token_rule rule, enum token_rule *ret_rule)
{
	*ret_rule = rule;
	return ERR_AUTH;
}
