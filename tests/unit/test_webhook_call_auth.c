/* SPDX-License-Identifier: ISC */
/* hook/webhook_call.c: signatures, and the ids that they cover. */
#include "hook/webhook_call.h"

#include "webhook_site.h"

/* --- Signatures ----------------------------------------------------------- */

static void
test_signature_missing(void **state)
{
	static const char *const queries[] = {"", "job_id=job-1",
	    "job_id=job-1&exp=1764000060", "job_id=job-1&sig=SECRET",
	    "job_id=job-1&exp=&sig=SECRET", "job_id=job-1&exp=1764000060&sig=",
	    "job_id=job-1&exp=1764000060&SIG=SECRET"};
	struct site *s = *state;

	for (size_t i = 0; i < COUNT(queries); i++) {
		s->request.query = queries[i];
		assert_refused(s, 403, "signature_missing");
	}
}

static void
test_signature_expired(void **state)
{
	struct site *s = *state;

	sign(s, "runpod-completion", "job-1", "", NOW - 1);
	assert_refused(s, 403, "signature_expired");
	sign(s, "runpod-completion", "job-1", "", 1);
	assert_refused(s, 403, "signature_expired");
	sign(s, "runpod-completion", "job-1", "", NOW);
	assert_accepted(s);
}

/* The good query with one text in it replaced by another. */
static void
assert_replaced(struct site *s, const char *text, const char *by)
{
	struct buf forged = BUF_INIT;
	const char *at = strstr(s->query.data, text);

	assert_non_null(at);
	buf_add(&forged, s->query.data, (size_t)(at - s->query.data));
	buf_add_str(&forged, by);
	buf_add_str(&forged, at + strlen(text));
	assert_true(buf_ok(&forged));
	s->request.query = forged.data;
	assert_refused(s, 403, "signature_invalid");
	buf_done(&forged);
}

static void
test_signature_transplanted(void **state)
{
	struct site *s = *state;

	sign_well(s);
	assert_replaced(s, "job_id=job-1", "job_id=job-2");
	assert_replaced(s, "job_id=job-1", "job_id=job-1%0A");
	assert_replaced(s, "job_id=job-1", "job_id=job-1%00");
	assert_replaced(s, "job_id=job-1&", "");
	assert_replaced(s, "job_id=job-1", "job_id=job-2&job_id=job-1");
	assert_replaced(s, "restore_id=R%2F1", "restore_id=R%2F2");
	assert_replaced(s, "restore_id=R%2F1&", "");
	assert_replaced(s, "restore_id=", "restore_id=x&restore_id=");
	assert_replaced(s, "exp=1764000060", "exp=1764000061");
	assert_replaced(s, "exp=", "exp=9999999999&exp=");
	sign(s, "another-provider", "job-1", "R/1", NOW + 60);
	assert_refused(s, 403, "signature_invalid");
	sign(s, "runpod-completion", "job-1", "", NOW + 60);
	assert_replaced(s, "job_id=job-1", "job_id=job-1&restore_id=R");
	/* Line breaks cannot move a border. */
	sign(s, "runpod-completion", "a", "b\nc", NOW + 60);
	assert_replaced(
	    s, "job_id=a&restore_id=b%0Ac", "job_id=a%0Ab&restore_id=c");
}

static void
test_signature_wrong(void **state)
{
	static const char *const exps[] = {"exp=+1764000060",
	    "exp=%201764000060", "exp=01764000060", "exp=1764000060%20",
	    "exp=1764000060x", "exp=1764000060%00", "exp=0x6924A4BC",
	    "exp=-1764000060", "exp=1.764e9", "exp=0", "exp=x",
	    "exp=99999999999999999999999999"};
	struct site *s = *state;
	size_t n;

	sign_well(s);
	for (size_t i = 0; i < COUNT(exps); i++)
		assert_replaced(s, "exp=1764000060", exps[i]);
	n = s->query.len;
	s->query.data[n - 3] = s->query.data[n - 3] == 'A' ? 'B' : 'A';
	assert_replaced(s, "sig=", "sig=");
	sign_well(s);
	s->query.data[n - 1] = '\0'; /* one shorter */
	assert_replaced(s, "sig=", "sig=");
	sign_well(s);
	buf_add_char(&s->query, '=');
	assert_replaced(s, "sig=", "sig=");
	sign_well(s);
	assert_replaced(s, "sig=", "sig=%00");
}

/* What was signed with a key that is on its way out is taken still; what was
 * signed with one that is gone is not. */
static void
test_signature_rotation(void **state)
{
	struct site *s = *state;
	struct buf message = BUF_INIT;
	struct secrets only = {0};

	sign_well(s);
	assert_int_equal(secrets_load("a-newer-one-of-all-secrets,"
				      "the-first-secret-of-two",
			     &only, &message),
	    OK);
	secrets_done(&s->keys.url);
	s->keys.url = only;
	assert_accepted(s);
	assert_int_equal(
	    secrets_load("a-newer-one-of-all-secrets", &only, &message), OK);
	secrets_done(&s->keys.url);
	s->keys.url = only;
	assert_refused(s, 403, "signature_invalid");
}

static void
test_secret_missing(void **state)
{
	struct site *s = *state;

	sign_well(s);
	secrets_done(&s->keys.url);
	assert_refused(s, 403, "webhook_secret_missing");
	s->cfg.is_open = true;
	assert_accepted(s);
	s->request.query = "job_id=job-1";
	assert_accepted(s);
	s->request.query = "job_id=job-1&exp=1&sig=x";
	assert_accepted(s);
}

/* Who has no right to speak learns nothing of what is wrong with the rest. */
static void
test_authenticates_first(void **state)
{
	struct site *s = *state;

	s->request.query = "job_id=bad/id&exp=1764000060&sig=x";
	s->request.content_type = "text/plain";
	s->request.body = SPAN_LIT("no json");
	assert_refused(s, 403, "signature_invalid");
	s->request.query = "";
	assert_refused(s, 403, "signature_missing");
}

/* --- Ids ------------------------------------------------------------------ */

static void
test_job_id(void **state)
{
	static const char *const bad[] = {"job_id=", "job_id=a%2Fb",
	    "job_id=a+b", "job_id=%C3%A4", "job_id=a%00", "job_id=a%0A"};
	static const char *const none[] = {"", "JOB_ID=a", "restore_id=a"};
	struct site *s = *state;
	struct buf query = BUF_INIT;

	s->cfg.is_open = true;
	for (size_t i = 0; i < COUNT(bad); i++) {
		s->request.query = bad[i];
		assert_refused(s, 400, "bad_job_id");
	}
	/* Without one the body must say more. */
	for (size_t i = 0; i < COUNT(none); i++) {
		s->request.query = none[i];
		s->request.body = SPAN_LIT(BODY);
		assert_accepted(s);
		s->request.body = SPAN_LIT("{\"output\":{\"a\":1}}");
		assert_refused(s, 400, "bad_job_id");
	}
	buf_add_str(&query, "job_id=");
	for (int i = 0; i < 128; i++)
		buf_add_char(&query, 'j');
	s->request.query = query.data;
	assert_accepted(s);
	assert_int_equal(s->d->job_id.len, 128);
	buf_add_char(&query, 'j');
	s->request.query = query.data;
	assert_refused(s, 400, "bad_job_id");
	buf_done(&query);
	/* A signature does not make it a name. */
	sign(s, "runpod-completion", "a/b", "", NOW);
	s->cfg.is_open = false;
	assert_refused(s, 400, "bad_job_id");
}

static void
test_restore_id(void **state)
{
	static const char *const bad[] = {"job_id=a&restore_id=%00",
	    "job_id=a&restore_id=b%0Ac", "job_id=a&restore_id=%1f",
	    "job_id=a&restore_id=b%09"};
	struct site *s = *state;
	struct buf query = BUF_INIT;

	s->cfg.is_open = true;
	for (size_t i = 0; i < COUNT(bad); i++) {
		s->request.query = bad[i];
		assert_refused(s, 400, "bad_restore_id");
	}
	s->request.query = "job_id=a&restore_id=a+b%2F%22%C3%A4";
	assert_accepted(s);
	assert_string_equal(webhook(s)->event.row.restore_id, "a b/\"\xc3\xa4");
	buf_add_str(&query, "job_id=a&restore_id=");
	for (int i = 0; i < 256; i++)
		buf_add_char(&query, 'r');
	s->request.query = query.data;
	assert_accepted(s);
	buf_add_char(&query, 'r');
	s->request.query = query.data;
	assert_refused(s, 400, "bad_restore_id");
	buf_done(&query);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_signature_missing),
	    TEST(test_signature_expired),
	    TEST(test_signature_transplanted),
	    TEST(test_signature_wrong),
	    TEST(test_signature_rotation),
	    TEST(test_secret_missing),
	    TEST(test_authenticates_first),
	    TEST(test_job_id),
	    TEST(test_restore_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
