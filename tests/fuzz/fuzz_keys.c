/* SPDX-License-Identifier: ISC */
/*
 * The readers of keys on any value of a setting, and on any file that one
 * names: they take it or say why not, and what they say has none of it in it.
 */
#undef NDEBUG
#include <sys/mman.h>
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/fal_signature.h"
#include "auth/jws.h"
#include "auth/key_file.h"
#include "auth/secrets.h"
#include "auth/standard_signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One line, and not of our input, of which ten bytes in a row are nowhere. */
static void
check_message(enum err e, struct buf *message, struct span input)
{
	struct span text = buf_span(message);

	assert((e == OK) == (text.n == 0));
	assert(memchr(text.p, '\n', text.n) == NULL);
	for (size_t i = 0; i + 16 <= input.n; i++)
		assert(memmem(text.p, text.n, input.p + i, 16) == NULL);
	buf_reset(message);
}

static void
try_lists(const char *value, struct span input)
{
	struct buf message = BUF_INIT;
	struct secrets secrets;
	struct standard_keys standard;
	enum err e = secrets_load(value, &secrets, &message);

	if (e == OK) {
		for (size_t i = 0; i < secrets.n; i++)
			assert(secrets.keys[i].n >= SECRETS_MIN);
		secrets_done(&secrets);
	}
	check_message(e, &message, input);
	e = standard_keys_load(value, &standard, &message);
	if (e == OK)
		standard_keys_done(&standard);
	check_message(e, &message, input);
	buf_done(&message);
}

static void
try_jws(const char *value, struct span input)
{
	static const enum jws_alg algs[] = {JWS_HS256, JWS_RS256, JWS_ES256};
	struct buf message = BUF_INIT, signature = BUF_INIT;
	struct jws_keys k;

	for (size_t i = 0; i < 2 * sizeof(algs) / sizeof(algs[0]); i++) {
		const enum jws_alg alg = algs[i / 2];
		const enum err e =
		    jws_keys_load(value, alg, i % 2 == 1, &k, &message);

		check_message(e, &message, input);
		if (e != OK)
			continue;
		for (size_t j = 0; j < k.n; j++) {
			buf_reset(&signature);
			if (jws_sign(alg, &k.list[j], input, &signature) == OK)
				assert(jws_verify(alg, &k.list[j], input,
					   buf_span(&signature)) == OK);
		}
		jws_keys_done(&k);
	}
	buf_done(&signature);
	buf_done(&message);
}

static void
try_fal(const char *path, struct span input)
{
	struct buf message = BUF_INIT;
	struct fal_keys k;
	enum err e = fal_keys_load(path, &k, &message);

	if (e == OK) {
		assert(k.n > 0);
		fal_keys_done(&k);
	}
	check_message(e, &message, input);
	buf_done(&message);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span input = {(const char *)data, size};
	int fd = memfd_create("key", MFD_CLOEXEC);
	char *value = span_dup(input), named[40];

	assert(fd != -1 && value != NULL);
	assert(size == 0 || write(fd, data, size) == (ssize_t)size);
	snprintf(named, sizeof(named), "@/proc/self/fd/%d", fd);
	if (strchr(value, '@') == NULL) { /* no other files */
		(void)key_file_count(value);
		try_lists(value, input);
		try_jws(value, input);
	}
	try_lists(named, input);
	try_jws(named, input);
	try_fal(named + 1, input);
	free(value);
	(void)close(fd);
	return 0;
}
