/* SPDX-License-Identifier: ISC */
/*
 * base64 (RFC 4648). Layer: text, pure.
 */
#ifndef JOBWIRE_BASE64_H
#define JOBWIRE_BASE64_H

#include "base/buf.h"
#include "base/err.h"

enum base64_form {
	BASE64_PADDED, /* section 4: with + and /, filled up with = */
	BASE64_URL,    /* section 5: with - and _, not filled up */
	/* For reading keys that others have written, and not for what is
	 * compared: either alphabet, filled up or not, and several texts mean
	 * the same bytes. */
	BASE64_ANY,
};

/* Writes the text of the bytes, not terminated, and returns its length, n / 3 *
 * 4 + 4 at the most. */
size_t base64_write(char *ret, struct span bytes, enum base64_form form);

/* Appends it. */
void base64_add(struct buf *out, struct span bytes, enum base64_form form);

/*
 * Decodes into ret[0..max). ERR_PROTO for everything but the one text that
 * base64_write() gives the bytes: no white space, no bits set that belong to no
 * byte; with BASE64_ANY, for what is in no form. ERR_LIMIT: more than max
 * bytes. *ret_n is written on success only, ret in any case.
 */
CHECK_RESULT enum err base64_read(struct span text, enum base64_form form,
    unsigned char *ret, size_t max, size_t *ret_n);

/* Appends the bytes of the text; nothing on an error. ERR_PROTO as above;
 * ERR_NOMEM. */
CHECK_RESULT enum err base64_add_bytes(
    struct buf *out, struct span text, enum base64_form form);

#endif
