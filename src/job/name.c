/* SPDX-License-Identifier: ISC */
/*
 * The grammar of names. schema.sql refuses rows with other job ids and types,
 * but for the types that are ours: those it stores, and streams leave them out.
 * Pure.
 */
#include "job/name.h"

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
is_type_char(char c)
{
	return is_lower(c) || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
	       c == '-';
}

static bool
is_id_char(char c)
{
	return is_type_char(c) || (c >= 'A' && c <= 'Z') || c == ':' ||
	       c == '~';
}

static bool
all_are(struct span s, bool (*is_good)(char c))
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_good(s.p[i]))
			return false;
	}
	return true;
}

/* A page that took a row for one of these would forget what it has. */
static bool
is_reserved(struct span type)
{
	return span_eq_str(type, "resync") || span_eq_str(type, "heartbeat") ||
	       span_eq_str(type, "expiring");
}

bool
job_id_ok(struct span id)
{
	return id.n >= 1 && id.n <= JOB_ID_MAX && all_are(id, is_id_char);
}

bool
job_type_ok(struct span type)
{
	return type.n >= 1 && type.n <= JOB_TYPE_MAX && is_lower(*type.p) &&
	       all_are(type, is_type_char) && !is_reserved(type);
}

bool
job_label_ok(struct span label)
{
	return label.n <= JOB_LABEL_MAX && span_is_plain(label);
}
