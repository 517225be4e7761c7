/* SPDX-License-Identifier: ISC */
/*
 * Files with keys, and how settings name them: `@FILE`, or a list of
 * `NAME=@FILE`. What is written otherwise is a key itself. Layer: auth.
 */
#ifndef JOBWIRE_KEY_FILE_H
#define JOBWIRE_KEY_FILE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* Takes `@FILE`, which is the rest of the text, or `NAME=@FILE` and the comma
 * behind it off *list. Spans of the text: the name is empty where there is
 * none. False, and nothing taken: something else is there. */
bool key_file_cut(
    struct span *list, struct span *ret_name, struct span *ret_path);

/* How many files the value names in one of the two ways; 0: it is a key, or
 * NULL. */
size_t key_file_count(const char *value);

/* Calls on_file for each of them. The path is borrowed, for the call.
 * ERR_NOMEM. */
CHECK_RESULT enum err key_file_each(
    const char *value, void (*on_file)(void *arg, const char *path), void *arg);

/* Appends the content to *ret. ERR_SYS (errno kept), ERR_LIMIT (above 64 KiB),
 * ERR_NOMEM, with *message. key_file_wipe() in any case. Blocks. */
CHECK_RESULT enum err key_file_read(
    struct span path, struct buf *ret, struct buf *message);

/* Overwrites the content and frees it. */
void key_file_wipe(struct buf *content);

#endif
