/* SPDX-License-Identifier: ISC */
/*
 * jobwire url: prints a signed webhook URL.
 */
#include <stdio.h>

#include "auth/url_signature.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/near.h"
#include "conf/opt.h"
#include "command.h"
#include "hook/provider.h"
#include "hook/urls.h"
#include "job/name.h"
#include "text/json_text.h"

static struct values {
	char *restore_id, *provider;
	int64_t expires; /* ms */
} values;

static const struct opt_def flags[] = {
    {COMMAND_FLAG(struct values, restore_id), .metavar = "ID",
	.help = "comes back in the job's events"},
    {COMMAND_FLAG(struct values, expires), .type = OPT_DURATION,
	.fallback = "24h", .min = 1, .max = INT64_C(36500) * 24 * 3600 * 1000,
	.help = "how long the URL is good"},
    {COMMAND_FLAG(struct values, provider), .fallback = "runpod-completion",
	.metavar = "NAME", .help = "the service that calls"},
    {.name = NULL},
};

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

static int
run(const struct command_line *c)
{
	struct buf text = BUF_INIT;
	struct secrets keys = {0};
	const struct urls_site site = {
	    c->settings->base_url, c->settings->api_prefix};
	struct url_claim claim = {values.provider,
	    span_of(c->n > 0 ? c->args[0] : NULL), span_of(values.restore_id),
	    (clock_real_ms() + values.expires) / 1000};
	int status = EXIT_DONE;

	if (c->n > 0 && !job_id_ok(claim.job_id))
		return command_misuse("url", "not a job id");
	if (provider_find(span_of(claim.provider)) == NULL)
		return refuse_provider(claim.provider);
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

const struct command command_url = {
    .name = "url",
    .arguments = "[JOB]",
    .max = 1,
    .run = run,
    .summary = "print a signed webhook URL",
    .more = "Without a job: for calls that name the job in their body.\n",
    .flags = flags,
    .values = &values,
};
