/* SPDX-License-Identifier: ISC */
/*
 * The table of providers. Pure.
 */
#include "hook/provider.h"

#include <string.h>

static enum err
verify_standard(
    const struct request *r, const struct hook_keys *keys, int64_t now_s)
{
	return standard_verify(&keys->standard, r, now_s);
}

static enum err
verify_fal(const struct request *r, const struct hook_keys *keys, int64_t now_s)
{
	return fal_verify(&keys->fal, r, now_s);
}

static const struct provider providers[] = {
    {"runpod-completion", "runpod", NULL, runpod_normalise},
    {"replicate", "replicate", verify_standard, replicate_normalise},
    {"fal", "fal", verify_fal, fal_normalise},
    {"standard", "standard", verify_standard, standard_normalise},
};

enum { PROVIDERS = sizeof(providers) / sizeof(providers[0]) };

_Static_assert((int)PROVIDERS <= (int)PROVIDERS_MAX, "raise PROVIDERS_MAX");

const struct provider *
provider_at(size_t i)
{
	return i < PROVIDERS ? &providers[i] : NULL;
}

const struct provider *
provider_find(struct span name)
{
	for (size_t i = 0; i < PROVIDERS; i++)
		if (span_eq_str(name, providers[i].name))
			return &providers[i];
	return NULL;
}

void
provider_offer(struct near *near)
{
	for (size_t i = 0; i < PROVIDERS; i++)
		near_offer(near, providers[i].name);
}

void
provider_event_done(struct provider_event *e)
{
	buf_done(&e->data);
	buf_done(&e->external_id);
	buf_done(&e->input_job_id);
}

void
provider_event_identify(struct provider_event *e, struct span part)
{
	size_t i = 0;

	while (e->identity[i].n > 0)
		i++;
	e->identity[i] = part;
}

enum err
provider_event_key(const struct provider_event *e, struct span job_id,
    char ret[CRYPTO_SHA256_SIZE])
{
	struct span parts[2 + PROVIDER_IDENTITY_MAX] = {job_id, SPAN_LIT("\n")};

	memcpy(&parts[2], e->identity, sizeof(e->identity));
	return crypto_sha256_of(parts, 2 + PROVIDER_IDENTITY_MAX, ret);
}
