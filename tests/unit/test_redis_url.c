/* SPDX-License-Identifier: ISC */
/* Unit tests of relay/url. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "relay/url.h"

static void
expect(const char *text, const struct redis_url *want)
{
	struct redis_url u;
	const char *why;

	assert_int_equal(redis_url_parse(span_of(text), &u, &why), OK);
	assert_string_equal(u.host, want->host);
	assert_string_equal(u.name, want->name);
	assert_int_equal(u.port, want->port);
	assert_int_equal(u.database, want->database);
	assert_int_equal(u.is_unix, want->is_unix);
	assert_int_equal(u.is_tls, want->is_tls);
	if (want->password != NULL)
		assert_string_equal(u.password, want->password);
	else
		assert_null(u.password);
	if (want->user != NULL)
		assert_string_equal(u.user, want->user);
	else
		assert_null(u.user);
	redis_url_done(&u);
	redis_url_done(&u);
}

/* Written as a string, for the members are those of an owner. */
static char *
text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void
test_hosts(void **state)
{
	(void)state;
	expect("redis://h",
	    &(struct redis_url){
		.host = text("h"), .name = text("h:6379"), .port = 6379});
	expect("redis://h:1/",
	    &(struct redis_url){
		.host = text("h"), .name = text("h:1"), .port = 1});
	expect("rediss://10.0.0.1:6380/15",
	    &(struct redis_url){.host = text("10.0.0.1"),
		.name = text("10.0.0.1:6380"),
		.port = 6380,
		.database = 15,
		.is_tls = true});
	expect("redis://[::1]:7/2", &(struct redis_url){.host = text("::1"),
					.name = text("[::1]:7"),
					.port = 7,
					.database = 2});
	expect("redis://[::1]",
	    &(struct redis_url){
		.host = text("::1"), .name = text("[::1]:6379"), .port = 6379});
}

/* It is nowhere but in its member: the name is what is logged. */
static void
test_passwords(void **state)
{
	(void)state;
	expect("redis://:secret@h", &(struct redis_url){.host = text("h"),
					.name = text("h:6379"),
					.port = 6379,
					.password = text("secret")});
	expect("redis://u:p%40s%2Fs%25:x@h:1/3",
	    &(struct redis_url){.host = text("h"),
		.name = text("h:1"),
		.port = 1,
		.database = 3,
		.user = text("u"),
		.password = text("p@s/s%:x")});
	expect("unix::secret@/run/r.sock",
	    &(struct redis_url){.host = text("/run/r.sock"),
		.name = text("/run/r.sock"),
		.is_unix = true,
		.password = text("secret")});
}

static void
test_sockets(void **state)
{
	(void)state;
	expect("unix:/run/redis.sock?db=4",
	    &(struct redis_url){.host = text("/run/redis.sock"),
		.name = text("/run/redis.sock"),
		.database = 4,
		.is_unix = true});
}

static void
test_what_is_none(void **state)
{
	static const char *const wrong[] = {"", "h:6379", "http://h",
	    "redis://", "redis://:secret@", "redis://h:0", "redis://h:65536",
	    "redis://h:x", "redis://h/x", "redis://h/1/2", "redis://h/70000",
	    "redis://[::1]x", "redis://[::1", "redis://[[a]",
	    "redis://secret@h", "unix:", "unix:run/r", "unix:/r?x=1",
	    "unix:/r?db=x"};
	struct redis_url u;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		why = NULL;
		assert_int_equal(
		    redis_url_parse(span_of(wrong[i]), &u, &why), ERR_PROTO);
		assert_non_null(why);
		assert_null(strstr(why, "secret"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hosts),
	    cmocka_unit_test(test_passwords),
	    cmocka_unit_test(test_sockets),
	    cmocka_unit_test(test_what_is_none),
	};

	return cmocka_run_group_tests_name("redis_url", tests, NULL, NULL);
}
