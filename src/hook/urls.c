/* SPDX-License-Identifier: ISC */
/*
 * Puts together the URLs of the contract; auth/url_signature.c signs. Pure.
 */
#include "hook/urls.h"

#include "text/percent.h"

static void
add_base(struct buf *out, const struct urls_site *site)
{
	struct span base = span_of(site->base_url);

	while (base.n > 0 && base.p[base.n - 1] == '/')
		base.n--;
	buf_add_span(out, base);
	buf_add_str(out, site->api_prefix);
}

void
urls_add_events(
    struct buf *out, const struct urls_site *site, struct span job_id)
{
	add_base(out, site);
	buf_add_str(out, "/events/");
	percent_encode(out, job_id);
}

enum err
urls_add_webhook(struct buf *out, const struct urls_site *site,
    const struct secrets *keys, const struct url_claim *claim)
{
	add_base(out, site);
	buf_addf(out, "/webhooks/%s?", claim->provider);
	return url_signature_add(keys, claim, out);
}
