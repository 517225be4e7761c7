/* SPDX-License-Identifier: ISC */
/*
 * JSON whose values we use, by json-c: claims, keys, what calls ask for. What
 * is only passed on stays text (json_text.h), whose grammar counts here, too.
 * Layer: text. Whoever includes this reads the object by json-c's own
 * functions, none of which allocates for that.
 */
#ifndef JOBWIRE_JSON_VALUE_H
#define JOBWIRE_JSON_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include <json.h>

#include "base/buf.h"
#include "base/err.h"

/* What json-c may take for one text: of empty objects, 270 bytes for each. */
enum { JSON_VALUE_MEMORY_MAX = 1 << 20 };

/*
 * Reads a text that is one object. ERR_PROTO: it is none, by
 * json_text_check(), or has a name with U+0000 in it; ERR_LIMIT: it is nested
 * too deep, or would take more than JSON_VALUE_MEMORY_MAX, which 100 KiB of
 * strings never do; ERR_NOMEM. *ret is owned (json_object_put()); *ret_names is
 * how many names stand in the text: of one that stands twice the object has the
 * last value.
 */
CHECK_RESULT enum err json_value_object(
    struct span text, struct json_object **ret, size_t *ret_names);

/* What json-c makes of the text, if that is an object: it also takes much that
 * is no JSON, and what stands behind the object. ERR_PROTO: it is none, or
 * memory went to another thread. Other errors as above. */
CHECK_RESULT enum err json_value_lenient(
    struct span text, struct json_object **ret);

/* A string's bytes, borrowed from the value; UTF-8 only as far as they came so.
 * False: it is none. */
bool json_value_string(struct json_object *value, struct span *ret);

#endif
