/* SPDX-License-Identifier: ISC */
/*
 * A call of any service that sends Standard Webhooks:
 *   {"type":"job.completed","timestamp":"..","data":{..}}
 * The specification leaves `data` to the sender; these members of it are read:
 *   id, else job_id   the sender's id of the job, where they are texts
 *   status            the state; where it is no text, the last segment of
 *                     `type`
 *   progress          a number
 *   output, error, input.job_id
 * Pure.
 */
#include "hook/payload.h"
#include "text/json_text.h"

enum err
standard_normalise(const struct request *r, struct span body,
    size_t inline_output, struct provider_event *ret, const char **why)
{
	struct payload m = {0};
	struct span type = {0}, data = {0}, job_id = {0}, progress = {0};
	const struct payload_member envelope[] = {
	    {"type", &type}, {"data", &data}};
	const struct payload_member wanted[] = {
	    {"id", &m.id},
	    {"job_id", &job_id},
	    {"status", &m.status},
	    {"progress", &progress},
	    {"error", &m.error},
	    {"output", &m.output},
	    {"input", &m.input},
	};
	enum err e;

	payload_find(body, envelope, sizeof(envelope) / sizeof(envelope[0]));
	payload_find(data, wanted, sizeof(wanted) / sizeof(wanted[0]));
	if (json_text_kind(m.id) != JSON_TEXT_STRING)
		m.id = job_id;
	if (json_text_kind(m.id) != JSON_TEXT_STRING)
		m.id = (struct span){0};
	if (json_text_kind(m.status) != JSON_TEXT_STRING)
		m.status = type;
	e = payload_begin(&m, ret, why);
	if (e != OK || ret->row.type == NULL)
		return e;
	payload_add_number(&ret->data, SPAN_LIT("progress"), progress);
	payload_add_delivery_id(r, body, ret);
	return payload_end(&m, inline_output, ret);
}
