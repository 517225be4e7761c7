/* SPDX-License-Identifier: ISC */
/*
 * Finds and reads files with keys. What is in them is for secrets.c, jws.c and
 * fal_signature.c. Only key_file_read() blocks.
 */
#include "auth/key_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/file.h"
#include "text/span.h"

/* Bytes: some hundred secrets; not a mistaken disk image. */
enum { KEY_FILE_MAX = 65536 };

static bool
is_name(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] == '@')
			return false;
	return s.n > 0;
}

bool
key_file_cut(struct span *list, struct span *ret_name, struct span *ret_path)
{
	struct span rest = *list, path, name = {0};
	const struct span at = SPAN_LIT("@");

	if (span_cut_prefix(&rest, at)) {
		path = rest;
		rest = (struct span){0};
	} else {
		path = span_cut(&rest, ',');
		name = span_cut(&path, '=');
		if (!is_name(name) || !span_cut_prefix(&path, at))
			return false;
	}
	if (path.n == 0)
		return false;
	*ret_name = name;
	*ret_path = path;
	*list = rest;
	return true;
}

size_t
key_file_count(const char *value)
{
	struct span rest = span_of(value), name, path;
	size_t n = 0;

	while (rest.n > 0 && key_file_cut(&rest, &name, &path))
		n++;
	return rest.n > 0 ? 0 : n;
}

enum err
key_file_each(
    const char *value, void (*on_file)(void *arg, const char *path), void *arg)
{
	struct span rest = span_of(value), name, path;
	size_t n = key_file_count(value);

	while (n-- > 0 && key_file_cut(&rest, &name, &path)) {
		char *text = span_dup(path);

		if (text == NULL)
			return ERR_NOMEM;
		on_file(arg, text);
		free(text);
	}
	return OK;
}

enum err
key_file_read(struct span path, struct buf *ret, struct buf *message)
{
	char *text = span_dup(path);
	enum err e =
	    text == NULL ? ERR_NOMEM : file_read(text, KEY_FILE_MAX, ret);
	int saved = errno;

	if (e != OK) {
		buf_add_span(message, path);
		buf_addf(message, ": %s",
		    e == ERR_SYS ? strerror(saved) : err_text(e));
	}
	free(text);
	errno = saved;
	return e;
}

void
key_file_wipe(struct buf *content)
{
	if (content->data != NULL)
		OPENSSL_cleanse(content->data, content->len);
	buf_done(content);
}
