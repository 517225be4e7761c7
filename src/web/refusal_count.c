/* SPDX-License-Identifier: ISC */
/*
 * Counters by code. A code that is missing in the list counts as `other`, so a
 * client cannot make new ones. Never blocks.
 */
#include "web/refusal_count.h"

#include <inttypes.h>
#include <string.h>

#include "base/metric.h"

static const char *const codes[REFUSAL_CODES] = {"bad_idempotency_key",
    "bad_job_id", "bad_json", "bad_payload", "bad_restore_id", "bad_type",
    "bad_wait", "body_too_large", "data_too_large", "database_busy",
    "database_corrupt", "database_error", "database_full", "database_missing",
    "database_readonly", "database_unavailable", "idempotency_key_reused",
    "input_too_large", "job_forbidden", "job_owned", "job_running",
    "json_too_deep", "method_not_allowed", "no_run", "not_acceptable",
    "not_authenticated", "not_found", "origin_forbidden", "out_of_memory",
    "overloaded", "owner_unknown", "publish_key_invalid",
    "publish_keys_missing", "runs_off", "signature_expired",
    "signature_invalid", "signature_missing", "spool_full", "ticket_invalid",
    "tickets_off", "token_conflict", "token_expired", "token_invalid",
    "token_missing", "token_revoked", "too_many_events", "too_many_jobs",
    "too_many_tickets", "unknown_action", "unknown_job",
    "unsupported_media_type", "webhook_secret_missing", "other"};

void
refusal_count(struct refusal_counts *counts, const char *code)
{
	size_t i = 0;

	if (code == NULL)
		return;
	while (i < REFUSAL_CODES - 1 && strcmp(codes[i], code) != 0)
		i++;
	counts->n[i]++;
}

void
refusal_counts_add(struct buf *out, const char *name, const char *help,
    const struct refusal_counts *counts)
{
	metric_head(out, name, "counter", help);
	for (size_t i = 0; i < REFUSAL_CODES; i++)
		buf_addf(out, "jobwire_%s{code=\"%s\"} %" PRIu64 "\n", name,
		    codes[i], counts->n[i]);
}
