/* SPDX-License-Identifier: ISC */
/*
 * RunPod's completion call. Its body is what /status/{id} answers, and more:
 * `input` echoes the request and `webhook` is our own URL with its signature,
 * so neither is ever copied. Pure.
 *
 * Sources: https://docs.runpod.io/serverless/endpoints/send-requests and
 * .../job-states; the captured body in runpod-python issue 409; rp_job.py
 * (errors) and rp_fastapi.py (the development server, which sends only
 * {"output":..}) of runpod-python.
 */
#include "hook/payload.h"

static const char *const number_names[] = {
    "delayTime", "executionTime", "retries"};

enum { NUMBERS = sizeof(number_names) / sizeof(number_names[0]) };

/*
 * RunPod sends no delivery id. A call sent again repeats all of these; a
 * /retry that fails once more has other times. The development server sends
 * none of them: there the whole body has to tell.
 */
static void
add_identity(struct provider_event *e, const struct payload *m,
    const struct span numbers[NUMBERS], struct span body)
{
	provider_event_identify(e, buf_span(&e->external_id));
	provider_event_identify(e, SPAN_LIT("\n"));
	provider_event_identify(e, m->status);
	for (size_t i = 0; i < NUMBERS; i++) {
		provider_event_identify(e, SPAN_LIT("\n"));
		provider_event_identify(e, numbers[i]);
	}
	if (e->external_id.len == 0)
		provider_event_identify(e, body);
}

enum err
runpod_normalise(const struct request *r, struct span body,
    size_t inline_output, struct provider_event *ret, const char **why)
{
	struct payload m = {0};
	struct span numbers[NUMBERS] = {{0}};
	const struct payload_member wanted[] = {
	    {"id", &m.id},
	    {"status", &m.status},
	    {number_names[0], &numbers[0]},
	    {number_names[1], &numbers[1]},
	    {number_names[2], &numbers[2]},
	    {"error", &m.error},
	    {"output", &m.output},
	    {"input", &m.input},
	};
	enum err e;

	(void)r;
	payload_find(body, wanted, sizeof(wanted) / sizeof(wanted[0]));
	/* The development server sends no status. What says nothing of an end,
	 * as {}, ends nothing. */
	if (!payload_is_given(m.status) && payload_is_given(m.error))
		m.status = SPAN_LIT("\"FAILED\"");
	else if (!payload_is_given(m.status) && payload_is_given(m.output))
		m.status = SPAN_LIT("\"COMPLETED\"");
	e = payload_begin(&m, ret, why);
	if (e != OK || ret->row.type == NULL)
		return e;
	for (size_t i = 0; i < NUMBERS; i++)
		payload_add_number(
		    &ret->data, span_of(number_names[i]), numbers[i]);
	add_identity(ret, &m, numbers, body);
	return payload_end(&m, inline_output, ret);
}
