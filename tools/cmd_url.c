/* SPDX-License-Identifier: ISC */
/*
 * jobwire url: prints a signed webhook URL.
 */
#include <stdio.h>

#include "auth/url_signature.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/near.h"
#include "base/opt.h"
#include "command.h"
#include "hook/provider.h"
#include "hook/urls.h"
#include "job/name.h"
#include "text/json_text.h"

static int
print_url(struct span url, bool as_json)
{
	struct buf out = BUF_INIT;
	bool is_whole;

	if (as_json) {
		buf_add_str(&out, "{\"url\":");
		json_text_add_quoted(&out, url);
		buf_add_char(&out, '}');
	} else {
		buf_add_span(&out, url);
	}
	is_whole = buf_ok(&out);
	if (is_whole)
		(void)puts(out.data);
	buf_done(&out);
	return is_whole ? EXIT_DONE : command_fail("url", "out of memory");
}

static int
refuse_provider(const char *name)
{
	struct near near = {.text = name};

	provider_offer(&near);
	return command_misuse_near("url: no such provider", &near);
}

int
command_url(const struct command_line *c)
{
	struct buf text = BUF_INIT;
	struct secrets keys = {0};
	const struct urls_site site = {
	    c->settings->base_url, c->settings->api_prefix};
	struct url_claim claim = {"runpod-completion",
	    span_of(c->n > 0 ? c->args[0] : NULL), span_of(c->restore_id), 0};
	int64_t ttl_ms = INT64_C(1000) * URLS_TTL_S;
	int status = EXIT_DONE;

	if (c->provider != NULL)
		claim.provider = c->provider;
	if (c->n > 0 && !job_id_ok(claim.job_id))
		return command_misuse("url", "not a job id");
	if (provider_find(span_of(claim.provider)) == NULL)
		return refuse_provider(claim.provider);
	if (c->expires != NULL &&
	    (opt_parse_duration(c->expires, &ttl_ms) != OK || ttl_ms <= 0))
		return command_misuse(
		    "url", "--expires takes a time such as 24h");
	claim.exp = (clock_real_ms() + ttl_ms) / 1000;
	if (secrets_load(c->settings->webhook_secret, &keys, &text) != OK)
		status = command_fail("webhook_secret",
		    text.len > 0 ? text.data : "cannot be used");
	else if (keys.n == 0)
		status = command_fail(
		    "url", "set webhook_secret (16 bytes or more) first");
	else if (urls_add_webhook(&text, &site, &keys, &claim) != OK ||
		 !buf_ok(&text))
		status = command_fail("url", "out of memory");
	else
		status = print_url(buf_span(&text), c->settings->json);
	secrets_done(&keys);
	buf_done(&text);
	return status;
}
