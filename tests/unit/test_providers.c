/* SPDX-License-Identifier: ISC */
/*
 * hook/provider.c, the files of the providers, and what all of them do with
 * hook/payload.c. The bodies are those of tests/fixtures, from the root of the
 * source. What is RunPod's is in test_provider_runpod.c.
 */
#include "hook/provider.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/file.h"
#include "text/json_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { INLINE = 4096 };

static const char *const all[] = {
    "runpod-completion", "replicate", "fal", "standard"};

/* --- Helpers -------------------------------------------------------------- */

static struct request
request_with(const char *variables, size_t n)
{
	return (struct request){.variables = {variables, n}};
}

/* Of a call without header fields. */
static enum err
normalise(const char *provider, const struct buf *json, size_t inline_output,
    struct provider_event *ret)
{
	const struct request r = request_with("", 0);
	const char *why = NULL;
	struct span body = {0};
	enum err e;

	assert_int_equal(json_text_check(buf_span(json), &body), OK);
	*ret = (struct provider_event){0};
	e = provider_find(span_of(provider))
		->normalise(&r, body, inline_output, ret, &why);
	assert_int_equal(e == ERR_PROTO, why != NULL);
	return e;
}

/* Data is one valid object that tells nothing of the request. */
static void
assert_clean(const struct provider_event *e)
{
	static const char *const words[] = {"webhook",
	    "\"prompt\":", "lighthouse", "Traceback", "hostname", "abc-6441",
	    "Using seed", "job-7", "api.replicate.com", "gateway"};
	struct span value;

	assert_int_equal(json_text_check(buf_span(&e->data), &value), OK);
	assert_int_equal(json_text_kind(value), JSON_TEXT_OBJECT);
	assert_int_equal(value.n, e->data.len);
	for (size_t i = 0; i < COUNT(words); i++)
		if (strstr(e->data.data, words[i]) != NULL)
			fail_msg("%s is in %s", words[i], e->data.data);
}

/* type NULL: ignored. */
static void
assert_event(const char *provider, const struct buf *json, const char *type,
    const char *data)
{
	struct provider_event e;

	assert_int_equal(normalise(provider, json, INLINE, &e), OK);
	if (type == NULL) {
		assert_null(e.row.type);
	} else {
		assert_non_null(e.row.type);
		assert_string_equal(e.row.type, type);
		assert_string_equal(e.data.data, data);
		assert_clean(&e);
	}
	provider_event_done(&e);
}

/* The body with single quotes for double ones. */
static struct buf
json(const char *text)
{
	struct buf b = BUF_INIT;

	for (; *text != '\0'; text++)
		buf_add_char(&b, *text == '\'' ? '"' : *text);
	assert_true(buf_ok(&b));
	return b;
}

static void
assert_text(
    const char *provider, const char *text, const char *type, const char *data)
{
	struct buf body = json(text), expected = json(data);

	assert_event(provider, &body, type, buf_span(&expected).p);
	buf_done(&body);
	buf_done(&expected);
}

static struct buf
fixture(const char *name)
{
	struct buf path = BUF_INIT, content = BUF_INIT;

	buf_addf(&path, "tests/fixtures/%s.json", name);
	assert_int_equal(file_read(path.data, 1 << 20, &content), OK);
	buf_done(&path);
	return content;
}

static void
assert_fixture(
    const char *provider, const char *name, const char *type, const char *data)
{
	struct buf body = fixture(name), expected = json(data);

	assert_event(provider, &body, type, expected.data);
	buf_done(&body);
	buf_done(&expected);
}

/* --- The table ------------------------------------------------------------ */

static void
test_find(void **state)
{
	const struct provider *p, *other;

	(void)state;
	for (size_t i = 0; i < COUNT(all); i++) {
		p = provider_find(span_of(all[i]));
		assert_non_null(p);
		assert_string_equal(p->name, all[i]);
		for (size_t k = 0; k < i; k++) {
			other = provider_find(span_of(all[k]));
			assert_string_not_equal(p->source, other->source);
		}
	}
	assert_null(provider_find(span_of("")));
	assert_null(provider_find(span_of("runpod")));
	assert_null(provider_find(span_of("Standard")));
	assert_null(provider_find(span_of("standard/")));
}

/* Who signs is asked for a key; only RunPod does not sign. */
static void
test_verify_without_keys(void **state)
{
	const struct hook_keys none = {.url = {.n = 0}};
	const struct request r = request_with("", 0);

	(void)state;
	assert_null(provider_find(span_of("runpod-completion"))->verify);
	for (size_t i = 1; i < COUNT(all); i++)
		assert_int_equal(
		    provider_find(span_of(all[i]))->verify(&r, &none, 0),
		    ERR_NOENT);
}

/* --- Statuses ------------------------------------------------------------- */

/* In any case of letters, and as the last segment of a longer name. */
static void
assert_status(const char *provider, const char *form, const char *status,
    const char *type)
{
	static const char *const before[] = {"", "job.", "a.b."};
	struct buf word = BUF_INIT, body = BUF_INIT;

	for (size_t i = 0; i < 2 * COUNT(before); i++) {
		buf_reset(&word);
		buf_reset(&body);
		buf_addf(&word, "%s%s", before[i / 2], status);
		for (size_t k = 0; i % 2 == 1 && k < word.len; k++)
			word.data[k] =
			    (char)toupper((unsigned char)word.data[k]);
		buf_addf(&body, "{\"%s\":\"%s\"}", form, word.data);
		assert_event(provider, &body, type, "{}");
	}
	buf_done(&word);
	buf_done(&body);
}

static void
test_statuses(void **state)
{
	static const char *const statuses[][2] = {{"queued", "queued"},
	    {"in_queue", "queued"}, {"pending", "queued"},
	    {"starting", "processing"}, {"started", "processing"},
	    {"processing", "processing"}, {"in_progress", "processing"},
	    {"running", "processing"}, {"progress", "progress"},
	    {"completed", "completed"}, {"succeeded", "completed"},
	    {"success", "completed"}, {"ok", "completed"}, {"failed", "failed"},
	    {"error", "failed"}, {"cancelled", "cancelled"},
	    {"canceled", "cancelled"}, {"aborted", "cancelled"},
	    {"timed_out", "timed_out"}, {"timeout", "timed_out"},
	    {"updated", NULL}, {"", NULL}, {"completed.", NULL},
	    {"un-failed", NULL}, {"completed ", NULL}};

	(void)state;
	for (size_t i = 0; i < COUNT(statuses); i++) {
		const char *status = statuses[i][0], *type = statuses[i][1];

		assert_status("runpod-completion", "status", status, type);
		assert_status("replicate", "status", status, type);
		assert_status("fal", "status", status, type);
		assert_status("standard", "type", status, type);
	}
}

static void
test_no_status(void **state)
{
	(void)state;
	for (size_t i = 1; i < COUNT(all); i++) {
		assert_text(all[i], "{}", NULL, "");
		assert_text(all[i], "{'status':null,'type':null}", NULL, "");
		assert_text(all[i], "{'id':'x','output':1}", NULL, "");
	}
}

static void
test_wrong_types(void **state)
{
	static const char *const bad[][2] = {
	    {"replicate", "{'status':7}"},
	    {"replicate", "{'id':{},'status':'failed'}"},
	    {"replicate", "{'id':true,'status':'failed'}"},
	    {"fal", "{'status':['OK']}"},
	    {"fal", "{'request_id':[],'status':'OK'}"},
	    {"standard", "{'type':7}"},
	};
	struct provider_event e;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct buf body = json(bad[i][1]);

		if (normalise(bad[i][0], &body, INLINE, &e) != ERR_PROTO)
			fail_msg("accepted: %s", bad[i][1]);
		provider_event_done(&e);
		buf_done(&body);
	}
}

/* --- Replicate ------------------------------------------------------------ */

#define PREDICTION "'external_id':'vcscvthbaxrm80cq9xqtcbaw4m','metrics':"

static void
test_replicate(void **state)
{
	struct provider_event e;
	struct buf body = fixture("replicate-starting");

	(void)state;
	assert_fixture("replicate", "replicate-starting", "processing",
	    "{" PREDICTION "{}}");
	assert_fixture("replicate", "replicate-output", "processing",
	    "{" PREDICTION "{},'output':['https://replicate.delivery/0.png']}");
	assert_fixture("replicate", "replicate-succeeded", "completed",
	    "{" PREDICTION "{'image_count':1,'predict_time':3.267341118,"
	    "'total_time':4.182588891},"
	    "'output':['https://replicate.delivery/0.png']}");
	assert_fixture("replicate", "replicate-failed", "failed",
	    "{" PREDICTION "{'predict_time':0.9,'total_time':1.7},"
	    "'error':'CUDA out of memory. Tried to allocate 2.00 GiB'}");
	assert_fixture("replicate", "replicate-canceled", "cancelled",
	    "{" PREDICTION "{'predict_time':0.9}}");

	assert_int_equal(normalise("replicate", &body, INLINE, &e), OK);
	assert_string_equal(e.external_id.data, "vcscvthbaxrm80cq9xqtcbaw4m");
	assert_string_equal(e.input_job_id.data, "job-7");
	provider_event_done(&e);
	buf_done(&body);
}

/* Only numbers, as they are written, under names without anything odd. */
static void
test_replicate_metrics(void **state)
{
	(void)state;
	assert_text("replicate",
	    "{'status':'processing','metrics':{'a':1e400,'b':'2','c_9':-0.0,"
	    "'d':{'e':1},'f':[1],'g':null,'h i':1,'':1,'j\\u0061':1,"
	    "'k':12345678901234567890,'l':123456789012345678901234567890123}}",
	    "processing",
	    "{'metrics':{'a':1e400,'c_9':-0.0,'k':12345678901234567890}}");
	assert_text(
	    "replicate", "{'status':'failed','metrics':[1,2]}", "failed", "{}");
	assert_text(
	    "replicate", "{'status':'failed','metrics':7}", "failed", "{}");
}

/* However many there are, a stream can send the event. */
static void
test_replicate_many_metrics(void **state)
{
	struct buf body = BUF_INIT;
	struct provider_event e;

	(void)state;
	buf_add_str(&body, "{\"status\":\"succeeded\",\"metrics\":{");
	for (int i = 0; i < 100000; i++)
		buf_addf(&body, "%s\"metric_%d\":1", i == 0 ? "" : ",", i);
	buf_add_str(&body, "}}");
	assert_int_equal(normalise("replicate", &body, INLINE, &e), OK);
	assert_in_range(e.data.len, 100, 4096);
	provider_event_done(&e);
	buf_done(&body);
}

/* --- Fal.ai --------------------------------------------------------------- */

#define REQUEST "'external_id':'123e4567-e89b-12d3-a456-426614174000'"

static void
test_fal(void **state)
{
	(void)state;
	assert_fixture("fal", "fal-ok", "completed",
	    "{" REQUEST ",'output':{'images':[{'url':"
	    "'https://url.to/image.png','content_type':'image/png',"
	    "'file_name':'image.png','file_size':1824075,'width':1024,"
	    "'height':1024}],'seed':196619188014358660}}");
	assert_fixture("fal", "fal-error", "failed",
	    "{" REQUEST ",'error':'Invalid status code: 422','output':{"
	    "'detail':[{'loc':['body','prompt'],'msg':'field required',"
	    "'type':'value_error.missing'}]}}");
	assert_fixture("fal", "fal-payload-error", "completed",
	    "{" REQUEST ",'error':'The payload cannot be written as JSON.',"
	    "'output':null}");
	/* As an older version of it sent. */
	assert_text("fal",
	    "{'request_id':'r','status':'OK','payload':1,'error':null}",
	    "completed", "{'external_id':'r','output':1}");
}

/* --- Standard Webhooks ---------------------------------------------------- */

static void
test_standard(void **state)
{
	(void)state;
	assert_fixture("standard", "standard-completed", "completed",
	    "{'external_id':'run_7Hq2','output':{'seed':9196619188014358660,"
	    "'loss':1e400,'rate':0.1}}");
	assert_fixture("standard", "standard-failed", "failed",
	    "{'external_id':'run_7Hq3','error_type':'OutOfMemory',"
	    "'error':'CUDA out of memory'}");
	assert_fixture("standard", "standard-progress", "progress",
	    "{'external_id':'run_7Hq2','progress':40.50}");
}

static void
test_standard_members(void **state)
{
	(void)state;
	/* data.status before type, where it is a text */
	assert_text("standard",
	    "{'type':'job.completed','data':{'status':'failed'}}", "failed",
	    "{}");
	assert_text("standard",
	    "{'type':'job.completed','data':{'status':'odd'}}", NULL, "");
	assert_text("standard",
	    "{'type':'job.completed','data':{'status':{'state':'failed'}}}",
	    "completed", "{}");
	/* data.id before data.job_id */
	assert_text("standard",
	    "{'type':'failed','data':{'job_id':'b','id':'a'}}", "failed",
	    "{'external_id':'a'}");
	assert_text("standard",
	    "{'type':'failed','data':{'job_id':'b','id':null}}", "failed",
	    "{'external_id':'b'}");
	assert_text("standard", "{'type':'failed','data':{'id':7,'job_id':[]}}",
	    "failed", "{}");
	/* what stands elsewhere is not looked at */
	assert_text("standard",
	    "{'type':'failed','id':'a','status':'ok','output':1,'data':[1]}",
	    "failed", "{}");
	assert_text(
	    "standard", "{'type':'failed','data':'completed'}", "failed", "{}");
	/* errors of other makes */
	assert_text("standard",
	    "{'type':'failed','data':{'error':{'type':'T','message':'m',"
	    "'hostname':'h'}}}",
	    "failed", "{'error_type':'T','error':'m'}");
	assert_text("standard", "{'type':'failed','data':{'error':{'code':7}}}",
	    "failed", "{'error':'The worker reported an error.'}");
}

/* --- What all of them do -------------------------------------------------- */

/* null is a result only of what completed. */
static void
test_null_output(void **state)
{
	(void)state;
	assert_text("replicate", "{'status':'succeeded','output':null}",
	    "completed", "{'output':null}");
	assert_text("replicate", "{'status':'processing','output':null}",
	    "processing", "{}");
	assert_text(
	    "replicate", "{'status':'failed','output':null}", "failed", "{}");
	assert_text("runpod-completion",
	    "{'status':'IN_PROGRESS','output':null}", "processing", "{}");
	assert_text("replicate", "{'status':'failed','output':0}", "failed",
	    "{'output':0}");
}

static void
test_output_limit(void **state)
{
	static const char *const bodies[][2] = {
	    {"runpod-completion", "{'status':'COMPLETED','output':[1, 2.0]}"},
	    {"replicate", "{'status':'succeeded','output':[1, 2.0]}"},
	    {"fal", "{'status':'OK','payload':[1, 2.0]}"},
	    {"standard", "{'type':'ok','data':{'output':[1, 2.0]}}"},
	};
	const size_t size = strlen("[1, 2.0]");
	struct provider_event e;

	(void)state;
	for (size_t i = 0; i < COUNT(bodies); i++) {
		struct buf body = json(bodies[i][1]);

		assert_int_equal(normalise(bodies[i][0], &body, size, &e), OK);
		assert_string_equal(e.data.data, "{\"output\":[1,2.0]}");
		assert_int_equal(e.row.output.n, 0);
		provider_event_done(&e);
		assert_int_equal(
		    normalise(bodies[i][0], &body, size - 1, &e), OK);
		assert_string_equal(e.data.data, "{\"output_omitted\":true}");
		assert_true(span_eq_str(e.row.output, "[1, 2.0]"));
		provider_event_done(&e);
		buf_done(&body);
	}
}

/* The page is told a part of an error; all of it is kept with the job. */
static void
test_whole_error(void **state)
{
	static const char *const errors[][2] = {
	    {"'no such model'", "\"no such model\""},
	    {"{ 'hostname': 1 }", "{ \"hostname\": 1 }"},
	    {"null", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(errors); i++) {
		struct buf text = BUF_INIT, body;
		struct provider_event e;

		buf_addf(&text, "{'status':'failed','error':%s}", errors[i][0]);
		body = json(text.data);
		assert_int_equal(
		    normalise("runpod-completion", &body, INLINE, &e), OK);
		assert_true(span_eq_str(e.row.error, errors[i][1]));
		provider_event_done(&e);
		buf_done(&text);
		buf_done(&body);
	}
}

/* What a request holds is its sender's business: only an id is taken. */
static void
test_input_job_id(void **state)
{
	static const char *const inputs[][2] = {
	    {"{'job_id':'job-7'}", "job-7"},
	    {"{'a':1,'job_id':'job\\u002d7'}", "job-7"},
	    {"{'job_id':'a','job_id':'b'}", "b"},
	    {"{'job_id':7}", ""},
	    {"{'job_id':null}", ""},
	    {"{'job_id':''}", ""},
	    {"{'job_id':'a b'}", ""},
	    {"{'job_id':'a\\u0000'}", ""},
	    {"{'x':{'job_id':'a'}}", ""},
	    {"['job_id','a']", ""},
	    {"'job_id'", ""},
	    {"null", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(inputs); i++) {
		struct buf text = BUF_INIT, body;
		struct provider_event e;

		buf_addf(&text, "{'status':'ok','input':%s}", inputs[i][0]);
		body = json(text.data);
		assert_int_equal(
		    normalise("runpod-completion", &body, INLINE, &e), OK);
		if (!span_eq_str(buf_span(&e.input_job_id), inputs[i][1]))
			fail_msg("%s gives %s", text.data,
			    buf_span(&e.input_job_id).p);
		assert_string_equal(e.data.data, "{}");
		provider_event_done(&e);
		buf_done(&text);
		buf_done(&body);
	}
}

/* The identity of a call with these header fields. */
static struct buf
identity(
    const char *provider, const char *variables, size_t n, const char *text)
{
	const struct request r = request_with(variables, n);
	struct buf body = json(text), found = BUF_INIT;
	struct provider_event e = {0};
	const char *why;

	assert_int_equal(provider_find(span_of(provider))
			     ->normalise(&r, buf_span(&body), INLINE, &e, &why),
	    OK);
	for (size_t i = 0; i < PROVIDER_IDENTITY_MAX; i++)
		buf_add_span(&found, e.identity[i]);
	provider_event_done(&e);
	buf_done(&body);
	return found;
}

static void
assert_identity(const char *provider, const char *variables, size_t n,
    const char *text, const char *expected)
{
	struct buf found = identity(provider, variables, n, text);

	assert_string_equal(found.data, expected);
	buf_done(&found);
}

/* The sender's own name for the delivery, where it has one. */
static void
test_identity(void **state)
{
	static const char webhook[] = "HTTP_WEBHOOK_ID=msg_1";
	static const char svix[] = "HTTP_SVIX_ID=msg_2";

	(void)state;
	assert_identity("replicate", webhook, sizeof(webhook),
	    "{'id':'a','status':'failed'}", "msg_1");
	assert_identity(
	    "standard", svix, sizeof(svix), "{'type':'failed'}", "msg_2");
	assert_identity(
	    "standard", "", 0, "{'type':'failed'}", "{\"type\":\"failed\"}");
	assert_identity("fal", "", 0,
	    "{'request_id':'r','gateway_request_id':'g','status':'ERROR'}",
	    "r\n\"ERROR\"");
}

/* OK would be answered 200: then there must be a whole event. */
static void
test_no_memory(void **state)
{
	static const char *const names[][2] = {
	    {"replicate", "replicate-succeeded"},
	    {"replicate", "replicate-failed"}, {"fal", "fal-error"},
	    {"standard", "standard-completed"},
	    {"standard", "standard-failed"}};
	struct provider_event whole, e;
	bool is_more;
	enum err err;

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		struct buf body = fixture(names[i][1]);

		assert_int_equal(
		    normalise(names[i][0], &body, INLINE, &whole), OK);
		is_more = true;
		for (unsigned n = 1; is_more; n++) {
			alloc_fail_start(n);
			err = normalise(names[i][0], &body, INLINE, &e);
			is_more = alloc_fail_stop();
			if (err != (is_more ? ERR_NOMEM : OK))
				fail_msg("%s, allocation %u: %s", names[i][1],
				    n, err_text(err));
			if (!is_more)
				assert_true(span_eq(
				    buf_span(&e.data), buf_span(&whole.data)));
			provider_event_done(&e);
		}
		provider_event_done(&whole);
		buf_done(&body);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_find),
	    cmocka_unit_test(test_verify_without_keys),
	    cmocka_unit_test(test_statuses),
	    cmocka_unit_test(test_no_status),
	    cmocka_unit_test(test_wrong_types),
	    cmocka_unit_test(test_replicate),
	    cmocka_unit_test(test_replicate_metrics),
	    cmocka_unit_test(test_replicate_many_metrics),
	    cmocka_unit_test(test_fal),
	    cmocka_unit_test(test_standard),
	    cmocka_unit_test(test_standard_members),
	    cmocka_unit_test(test_null_output),
	    cmocka_unit_test(test_output_limit),
	    cmocka_unit_test(test_whole_error),
	    cmocka_unit_test(test_input_job_id),
	    cmocka_unit_test(test_identity),
	    cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
