/* SPDX-License-Identifier: ISC */
/* auth/authenticator.c: the decision who may read, for each mode and each place
 * of a credential, and with no memory. */
#include "auth/authenticator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "store/tokens.h"
#include "store_site.h"

#define SECRET "0123456789abcdef0123456789abcdef"

static const int64_t now_s = 1800000000;
static struct authenticator_stats stats;

/* A token for a subject, terminated; static for each of its names. */
static const char *
token(const char *sub, const char *jti, const char *jobs, int64_t exp_s)
{
	static struct buf made[8];
	static size_t n;
	struct buf *out = &made[n++ % 8], why = BUF_INIT;
	struct claims c = {(char *)(uintptr_t)sub, (char *)(uintptr_t)jti,
	    (char *)(uintptr_t)jobs, exp_s, now_s - 5};
	struct jwt_config cfg = {.alg = JWS_HS256};
	struct jws_keys keys;

	buf_done(out);
	assert_int_equal(
	    jws_keys_load(SECRET, JWS_HS256, false, &keys, &why), OK);
	assert_int_equal(jwt_make(&cfg, &keys, &c, out), OK);
	jws_keys_done(&keys);
	return out->data;
}

static struct authenticator
authenticator_of(struct site *s, enum auth_mode mode)
{
	struct authenticator_config config = {.mode = mode,
	    .jwt = {.alg = JWS_HS256, .key = SECRET},
	    .cookie = "t",
	    .db_path = s->path};
	struct buf why = BUF_INIT;
	struct authenticator g;

	assert_int_equal(authenticator_init(&g, &config, &stats, &why), OK);
	return g;
}

static struct request
request_of(const char *authorization, const char *cookie, const char *query)
{
	return (struct request){.method = "GET",
	    .authorization = authorization,
	    .cookie = cookie,
	    .query = query,
	    .remote_user = ""};
}

static const char *print(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

static const char *
print(const char *format, ...)
{
	static char texts[8][4096];
	static size_t n;
	char *text = texts[n++ % 8];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(texts[0]), format, ap);
	va_end(ap);
	return text;
}

/* The code of the refusal, "" for who is let in; *ret to be done then. */
static const char *
identify(struct authenticator *g, struct site *s, const struct request *r,
    struct reader *ret)
{
	struct refusal why = {.code = "?"};
	enum err e = authenticator_identify(g, s->db, r, now_s, ret, &why);

	assert_true(e == OK || e == ERR_AUTH);
	return e == OK ? "" : why.code;
}

static void
assert_identified(struct authenticator *g, struct site *s, struct request r,
    const char *code, const char *sub)
{
	struct reader a = {0};

	assert_string_equal(identify(g, s, &r, &a), code);
	if (sub == NULL)
		assert_null(a.subject);
	else
		assert_string_equal(a.subject, sub);
	reader_done(&a);
	reader_done(&a);
}

static void
take_back(struct site *s, const char *jti)
{
	char digest[CRYPTO_SHA256_SIZE];

	assert_int_equal(crypto_sha256(span_of(jti), digest), OK);
	assert_int_equal(tokens_revoke(s->db, "jti", digest, now_s), OK);
}

static void
test_modes_without_tokens(void **state)
{
	struct site *s = *state;
	const char *good =
	    print("Bearer %s", token("alice", NULL, NULL, now_s + 60));
	struct request r = request_of(good, "", "ticket=x");
	struct authenticator g = authenticator_of(s, AUTH_JOB_ID);

	assert_identified(&g, s, r, "", NULL);
	authenticator_done(&g);
	g = authenticator_of(s, AUTH_SERVER);
	assert_identified(&g, s, r, "not_authenticated", NULL);
	r.remote_user = "bob";
	assert_identified(&g, s, r, "", "bob");
	authenticator_done(&g);
}

/* Every order of good and bad ones, in the header and in cookies. */
static void
test_places_of_a_token(void **state)
{
	struct site *s = *state;
	const char *good = token("alice", "a", NULL, now_s + 60);
	const char *same = token("alice", "b", NULL, now_s + 90);
	const char *other = token("bob", NULL, NULL, now_s + 60);
	const char *late = token("alice", NULL, NULL, now_s);
	const char *taken = token("alice", "taken", NULL, now_s + 60);
	const struct {
		const char *header, *one, *two; /* cookies */
		const char *code;
	} cases[] = {
	    {"", "", "", "token_missing"},
	    {good, "", "", ""},
	    {"", good, "", ""},
	    {"", "", good, ""},
	    {good, good, same, ""},
	    {same, good, "", ""},
	    {late, good, "", ""},
	    {taken, "x", good, ""},
	    {"x", good, late, ""},
	    {"x", "", "", "token_invalid"},
	    {late, "x", taken, "token_expired"},
	    {taken, "x", late, "token_revoked"},
	    {"x", taken, late, "token_invalid"},
	    {good, other, "", "token_conflict"},
	    {"", other, good, "token_conflict"},
	    {late, good, other, "token_conflict"},
	};
	struct authenticator g = authenticator_of(s, AUTH_JWT);

	take_back(s, "taken");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct request r = request_of(
		    *cases[i].header != '\0'
			? print("Bearer %s", cases[i].header)
			: "",
		    print("t=%s; u=x; t=%s", cases[i].one, cases[i].two), "");

		assert_identified(&g, s, r, cases[i].code,
		    *cases[i].code == '\0' ? "alice" : NULL);
	}
	authenticator_done(&g);
}

/* The first good one alone counts: its end is the stream's. */
static void
test_first_good_one_counts(void **state)
{
	struct site *s = *state;
	const char *late = token("alice", NULL, NULL, now_s - 1);
	const char *one = token("alice", NULL, NULL, now_s + 60);
	const char *two = token("alice", NULL, "j", now_s + 90);
	struct authenticator g = authenticator_of(s, AUTH_JWT);
	struct request r = request_of(
	    print("Bearer %s", late), print("t=%s; t=%s", one, two), "");
	struct reader a;

	assert_string_equal(identify(&g, s, &r, &a), "");
	assert_int_equal(a.session.exp_s, now_s + 60);
	assert_null(a.claims.jobs);
	reader_done(&a);
	authenticator_done(&g);
}

static void
test_tickets(void **state)
{
	struct site *s = *state;
	char sub[] = "alice";
	struct claims c = {sub, NULL, NULL, now_s + 60, now_s};
	struct intent_result written;
	struct buf text = BUF_INIT;
	struct authenticator g = authenticator_of(s, AUTH_TICKET);
	struct request r;
	struct reader a;
	struct refusal why;
	const char *query;

	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(
	    ticket_make(s->db, &c, "j", now_s, 0, &text, &written), OK);
	assert_int_equal(db_commit(s->db), OK);
	query = print("a=b&ticket=%s", text.data);
	r = request_of("", "", query);
	r.method = "HEAD"; /* only looks */
	assert_identified(&g, s, r, "", "alice");
	assert_identified(&g, s, r, "", "alice");
	r.method = "GET";
	/* Where nothing can be read it stays good. */
	assert_int_equal(
	    authenticator_identify(&g, NULL, &r, now_s, &a, &why), ERR_GONE);
	assert_identified(&g, s, r, "", "alice");
	assert_identified(&g, s, r, "ticket_invalid", NULL);
	r.method = "HEAD";
	assert_identified(&g, s, r, "ticket_invalid", NULL);
	/* A token does as well, but a ticket that is there decides. */
	r = request_of(
	    "", print("t=%s", token("bob", NULL, NULL, now_s + 9)), "");
	assert_identified(&g, s, r, "", "bob");
	r.query = "ticket=x";
	assert_identified(&g, s, r, "ticket_invalid", NULL);
	authenticator_done(&g);
	buf_done(&text);
}

/* By owner, by the claim `jobs`, and within what a ticket is limited to. */
static void
test_jobs(void **state)
{
	static const struct {
		const char *sub, *jobs, *job_ids, *job_id;
		enum err e;
	} cases[] = {
	    {NULL, NULL, NULL, "nobodys", OK},
	    {"alice", NULL, NULL, "mine", OK},
	    {"alice", NULL, NULL, "other", ERR_AUTH},
	    {"alice", NULL, NULL, "nobodys", ERR_AUTH},
	    {"alice", NULL, NULL, "unknown", ERR_AUTH},
	    {"alice", "other", NULL, "other", OK},
	    {"alice", "other", NULL, "mine", OK},
	    {"alice", "other", NULL, "nobodys", ERR_AUTH},
	    {"alice", NULL, "mine", "mine", OK},
	    {"alice", NULL, "other", "mine", ERR_AUTH},
	    {"alice", NULL, "other", "other", ERR_AUTH},
	    {"alice", "other", "other", "other", OK},
	};
	struct site *s = *state;

	raw(s, "INSERT INTO jobs (job_id, owner) VALUES ('mine', 'alice'), "
	       "('other', 'bob'), ('nobodys', NULL)");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reader a = {.subject = cases[i].sub,
		    .claims = {.jobs = (char *)(uintptr_t)cases[i].jobs},
		    .job_ids = (char *)(uintptr_t)cases[i].job_ids};

		assert_int_equal(
		    reader_check_job(&a, s->db, cases[i].job_id), cases[i].e);
		if (cases[i].job_ids != NULL)
			assert_null(reader_owner(&a));
		else
			assert_ptr_equal(reader_owner(&a), cases[i].sub);
	}
}

/* Without a database nobody with a token is let in, and nobody is refused. */
static void
test_no_database(void **state)
{
	struct site *s = *state;
	struct authenticator g = authenticator_of(s, AUTH_JWT);
	struct request r = request_of(
	    "", print("t=%s", token("alice", NULL, NULL, now_s + 60)), "");
	struct reader a = {.subject = "alice"};
	struct refusal why;

	assert_int_equal(
	    authenticator_identify(&g, NULL, &r, now_s, &a, &why), ERR_GONE);
	assert_int_equal(reader_check_job(&a, NULL, "mine"), ERR_GONE);
	authenticator_done(&g);
}

/* Memory that is missing never makes a good credential bad. */
static void
assert_memory(struct authenticator *g, struct site *s, const struct request *r)
{
	bool is_more = true;
	struct reader a;
	struct refusal why;
	enum err e;

	for (unsigned n = 1; is_more; n++) {
		alloc_fail_start(n);
		e = authenticator_identify(g, s->db, r, now_s, &a, &why);
		is_more = alloc_fail_stop();
		assert_int_equal(e, is_more ? ERR_NOMEM : OK);
	}
	assert_string_equal(a.subject, "alice");
	reader_done(&a);
}

static void
test_no_memory(void **state)
{
	struct site *s = *state;
	const char *late = token("bob", NULL, NULL, now_s);
	const char *good = token("alice", "j", "j", now_s + 60);
	char sub[] = "alice";
	struct claims c = {sub, NULL, NULL, now_s + 60, now_s};
	struct intent_result written;
	struct buf text = BUF_INIT;
	struct authenticator g = authenticator_of(s, AUTH_TICKET);
	struct request r = request_of(
	    print("Bearer %s", late), print("t=%s; t=%s", good, good), "");

	assert_memory(&g, s, &r);
	assert_int_equal(db_begin(s->db), OK);
	assert_int_equal(
	    ticket_make(s->db, &c, "j", now_s, 0, &text, &written), OK);
	assert_int_equal(db_commit(s->db), OK);
	r = request_of("", "", print("ticket=%s", text.data));
	r.method = "HEAD";
	assert_identified(&g, s, r, "", "alice"); /* now it is open */
	assert_memory(&g, s, &r);
	authenticator_done(&g);
	buf_done(&text);
}

#define SITE_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    SITE_TEST(test_modes_without_tokens),
	    SITE_TEST(test_places_of_a_token),
	    SITE_TEST(test_first_good_one_counts),
	    SITE_TEST(test_tickets),
	    SITE_TEST(test_jobs),
	    SITE_TEST(test_no_database),
	    SITE_TEST(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
