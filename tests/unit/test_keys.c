/* SPDX-License-Identifier: ISC */
/* hook/keys.c. */
#include "hook/keys.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc_fail.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define URL_KEY "a-key-of-signed-urls"
#define PUBLISH_KEYS "a-key-of-publishers,another-of-publishers"
#define STANDARD "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define JWKS                                                                   \
	"{\"keys\":[{\"crv\":\"Ed25519\",\"x\":"                               \
	"\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}" /* RFC 8037, A.2 */

static struct hook_keys_config
config_of(const char *webhook_secret, const char *publish_keys,
    const char *standard_secret, const char *fal_jwks)
{
	return (struct hook_keys_config){webhook_secret, publish_keys,
	    standard_secret, fal_jwks, {.mode = AUTH_JOB_ID}};
}

/* All four, the last in a file of this name (a template of mkstemp(3)). */
static struct hook_keys_config
all_set(char *path)
{
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, JWKS, strlen(JWKS)), strlen(JWKS));
	close(fd);
	return config_of(URL_KEY, PUBLISH_KEYS, STANDARD, path);
}

static void
test_none(void **state)
{
	const struct hook_keys_config c = {0};
	struct hook_keys k = {0};
	struct buf message = BUF_INIT;

	(void)state;
	assert_int_equal(hook_keys_load(&c, NULL, &k, &message), OK);
	assert_int_equal(
	    k.url.n + k.publish.n + k.standard.n + k.fal.n + message.len, 0);
	hook_keys_done(&k);
}

/* A second load, as after SIGHUP, leaves the first as it is. */
static void
test_all(void **state)
{
	char path[] = "/tmp/jobwire-test-XXXXXX";
	struct hook_keys_config c = all_set(path);
	struct hook_keys old = {0}, new = {0};
	struct buf message = BUF_INIT;

	(void)state;
	assert_int_equal(hook_keys_load(&c, NULL, &old, &message), OK);
	assert_int_equal(old.url.n, 1);
	assert_int_equal(old.publish.n, 2);
	assert_int_equal(old.standard.n, 1);
	assert_int_equal(old.fal.n, 1);
	c.publish_keys = "a-key-of-publishers";
	assert_int_equal(hook_keys_load(&c, NULL, &new, &message), OK);
	assert_int_equal(new.publish.n, 1);
	assert_int_equal(old.publish.n, 2);
	hook_keys_done(&old);
	assert_true(span_eq_str(new.url.keys[0], URL_KEY));
	hook_keys_done(&new);
	assert_null(new.fal.keys);
	hook_keys_done(&new);
	unlink(path);
}

/* Each error names its setting, and neither says nor changes a key. */
static void
test_refused(void **state)
{
	static const struct {
		const char *values[4];
		enum err e;
		const char *message;
	} cases[] = {
	    {{"short"}, ERR_LIMIT,
		"webhook_secret: secret 1 is shorter than 16 bytes"},
	    {{NULL, "@/nonexistent/k"}, ERR_SYS,
		"publish_keys: /nonexistent/k: No such file or directory"},
	    {{URL_KEY, NULL, URL_KEY}, ERR_LIMIT,
		"standard_secret: secret 1 does not have 24 to 64 bytes"},
	    {{NULL, NULL, STANDARD, "/nonexistent/j"}, ERR_SYS,
		"fal_jwks: /nonexistent/j: No such file or directory"},
	    {{NULL, NULL, NULL, "/dev/null"}, ERR_PROTO,
		"fal_jwks: /dev/null: no JWKS with an Ed25519 key"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *const *v = cases[i].values;
		struct hook_keys_config c = config_of(v[0], v[1], v[2], v[3]);
		struct hook_keys k = {.url = {.n = 77}};
		struct buf message = BUF_INIT;

		assert_int_equal(
		    hook_keys_load(&c, NULL, &k, &message), cases[i].e);
		if (cases[i].e == ERR_SYS)
			assert_int_equal(errno, ENOENT);
		assert_string_equal(message.data, cases[i].message);
		assert_int_equal(k.url.n, 77);
		buf_done(&message);
	}
}

static void
test_no_memory(void **state)
{
	char path[] = "/tmp/jobwire-test-XXXXXX";
	struct hook_keys_config c = all_set(path);
	struct hook_keys k = {0};
	struct buf message = BUF_INIT;
	bool is_more = true;
	enum err e;

	(void)state;
	for (unsigned n = 1; is_more; n++) {
		assert_null(k.url.keys);
		alloc_fail_start(n);
		e = hook_keys_load(&c, NULL, &k, &message);
		is_more = alloc_fail_stop();
		assert_int_equal(e, is_more ? ERR_NOMEM : OK);
		buf_done(&message);
	}
	assert_int_equal(k.fal.n, 1);
	hook_keys_done(&k);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_none),
	    cmocka_unit_test(test_all),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
