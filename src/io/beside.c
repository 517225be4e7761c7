/* SPDX-License-Identifier: ISC */
/*
 * Follows symbolic links. Who opens what is there, decides that itself. Opens
 * nothing.
 */
#include "io/beside.h"

#include <stdlib.h>
#include <string.h>

void
beside_add(struct buf *out, const char *db_path, const char *suffix)
{
	char *file = realpath(db_path, NULL);

	buf_addf(out, "%s%s", file != NULL ? file : db_path, suffix);
	free(file);
}

void
beside_add_folder(struct buf *out, const char *db_path)
{
	struct buf file = BUF_INIT;
	const char *slash;

	beside_add(&file, db_path, "");
	out->failed = out->failed || !buf_ok(&file);
	slash = file.len > 0 ? strrchr(file.data, '/') : NULL;
	if (slash == NULL)
		buf_add_char(out, '.');
	else if (slash == file.data)
		buf_add_char(out, '/');
	else
		buf_add(out, file.data, (size_t)(slash - file.data));
	buf_done(&file);
}
