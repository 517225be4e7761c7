/* SPDX-License-Identifier: ISC */
/*
 * Loads the keys of the writing half. Blocks on files.
 */
#include "hook/keys.h"

#include <errno.h>

enum err
hook_keys_load(const struct hook_keys_config *config,
    struct authenticator_stats *stats, struct hook_keys *ret,
    struct buf *message)
{
	struct hook_keys made = {0};
	struct buf why = BUF_INIT;
	const char *name = "webhook_secret";
	enum err e = secrets_load(config->webhook_secret, &made.url, &why);
	int saved;

	if (e == OK) {
		name = "publish_keys";
		e = secrets_load(config->publish_keys, &made.publish, &why);
	}
	if (e == OK) {
		name = "standard_secret";
		e = standard_keys_load(
		    config->standard_secret, &made.standard, &why);
	}
	if (e == OK) {
		name = "fal_jwks";
		e = fal_keys_load(config->fal_jwks, &made.fal, &why);
	}
	if (e != OK)
		buf_addf(message, "%s: %s", name, buf_span(&why).p);
	else
		e = authenticator_init(&made.authenticator,
		    &config->authenticator, stats, message);
	saved = errno;
	if (e == OK)
		*ret = made;
	else
		hook_keys_done(&made);
	buf_done(&why);
	errno = saved;
	return e;
}

void
hook_keys_done(struct hook_keys *k)
{
	secrets_done(&k->url);
	secrets_done(&k->publish);
	standard_keys_done(&k->standard);
	fal_keys_done(&k->fal);
	authenticator_done(&k->authenticator);
}
