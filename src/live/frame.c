/* SPDX-License-Identifier: ISC */
/*
 * Reference-counted frames. web/sse.c and stream.c write what stands in them.
 * One thread; never blocks.
 */
#include "live/frame.h"

#include <stdlib.h>

enum err
frame_new(
    struct buf *body, int64_t id, enum frame_effect effect, struct frame **ret)
{
	struct frame *f = buf_ok(body) ? malloc(sizeof(*f)) : NULL;

	if (f == NULL) {
		buf_done(body);
		return ERR_NOMEM;
	}
	*f = (struct frame){
	    .refs = 1, .effect = effect, .id = id, .body = *body};
	*body = (struct buf)BUF_INIT;
	*ret = f;
	return OK;
}

struct frame *
frame_ref(struct frame *f)
{
	f->refs++;
	return f;
}

void
frame_unref(struct frame **frame)
{
	struct frame *f = *frame;

	*frame = NULL;
	if (f == NULL || --f->refs > 0)
		return;
	buf_done(&f->body);
	free(f);
}
