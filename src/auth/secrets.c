/* SPDX-License-Identifier: ISC */
/*
 * Reads lists of secrets. What one is good for, its user knows. Only loading
 * may block, on a file.
 */
#include "auth/secrets.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "auth/key_file.h"
#include "text/span.h"

/* Appends a copy of the secret. */
static enum err
add_key(struct secrets *k, struct span secret)
{
	struct span *keys = realloc(k->keys, (k->n + 1) * sizeof(*keys));
	char *copy;

	if (keys == NULL)
		return ERR_NOMEM;
	k->keys = keys;
	copy = span_dup(secret);
	if (copy == NULL)
		return ERR_NOMEM;
	k->keys[k->n++] = (struct span){copy, secret.n};
	return OK;
}

static enum err
add_keys(struct secrets *k, struct span list, size_t min, struct buf *message)
{
	while (list.n > 0) {
		struct span secret =
		    span_trim(span_cut_any(&list, ",\n"), " \t\r");
		enum err e;

		if (secret.n == 0)
			continue;
		if (secret.n < min) {
			buf_addf(message,
			    "secret %zu is shorter than %zu bytes", k->n + 1,
			    min);
			return ERR_LIMIT;
		}
		e = add_key(k, secret);
		if (e != OK) {
			buf_add_str(message, err_text(e));
			return e;
		}
	}
	return OK;
}

enum err
secrets_load(const char *value, struct secrets *ret, struct buf *message)
{
	return secrets_load_min(value, SECRETS_MIN, ret, message);
}

enum err
secrets_load_min(
    const char *value, size_t min, struct secrets *ret, struct buf *message)
{
	struct secrets keys = {0};
	struct buf content = BUF_INIT;
	struct span list = span_of(value);
	bool is_file = span_cut_prefix(&list, SPAN_LIT("@"));
	enum err e = OK;

	if (is_file) {
		e = key_file_read(list, &content, message);
		list = buf_span(&content);
	}
	if (e == OK)
		e = add_keys(&keys, list, min, message);
	/* Named, it was to hold one: it may be half written. */
	if (e == OK && is_file && keys.n == 0) {
		buf_addf(message, "%s: holds no secret", value + 1);
		e = ERR_LIMIT;
	}
	key_file_wipe(&content);
	if (e == OK)
		*ret = keys;
	else
		secrets_done(&keys);
	return e;
}

void
secrets_done(struct secrets *k)
{
	for (size_t i = 0; i < k->n; i++) {
		char *bytes = (char *)(uintptr_t)k->keys[i].p;

		OPENSSL_cleanse(bytes, k->keys[i].n);
		free(bytes);
	}
	free(k->keys);
	*k = (struct secrets){0};
}
