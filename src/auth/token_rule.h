/* SPDX-License-Identifier: ISC */
/*
 * Why a token or ticket is not good. Layer: auth, pure. For the operator's log
 * and metrics and for `jobwire token check`; who sent it is told less.
 */
#ifndef JOBWIRE_TOKEN_RULE_H
#define JOBWIRE_TOKEN_RULE_H

#include "base/err.h"

enum token_rule {
	RULE_FORM,
	RULE_HEADER,
	RULE_ALG,
	RULE_CRIT,
	RULE_KID,
	RULE_SIGNATURE,
	RULE_PAYLOAD,
	RULE_ISS,
	RULE_AUD,
	RULE_NBF,
	RULE_SUB,
	RULE_EXP,
	RULE_IAT,
	RULE_JTI,
	RULE_JOBS,
	RULE_LIFE,
	RULE_EXPIRED,
	RULE_REVOKED,
	RULE_TICKET,
	TOKEN_RULES,
};

/* Its name, a claim's where it is about one, and the rule in words. */
struct token_rule_text {
	const char *name, *text;
};
extern const struct token_rule_text token_rule_texts[TOKEN_RULES];

/* Writes the rule that was broken and returns ERR_AUTH. */
CHECK_RESULT enum err token_rule_break(
    enum token_rule rule, enum token_rule *ret_rule);

#endif
