/* SPDX-License-Identifier: ISC */
/*
 * The settings that say who may read and write, as the layers below want them:
 * these take values. What is returned borrows the settings' strings. Layer:
 * app.
 */
#ifndef JOBWIRE_AUTH_SETTINGS_H
#define JOBWIRE_AUTH_SETTINGS_H

#include "auth/authenticator.h"
#include "auth/jwt.h"
#include "conf/settings.h"
#include "hook/keys.h"

struct jwt_config auth_settings_jwt(const struct settings *s);

/* Of who reads. */
struct authenticator_config auth_settings_reader(const struct settings *s);

/* Of who writes. */
struct hook_keys_config auth_settings_hook(const struct settings *s);

#endif
