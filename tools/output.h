/* SPDX-License-Identifier: ISC */
/*
 * Jobs and events as several commands print them.
 */
#ifndef JOBWIRE_OUTPUT_H
#define JOBWIRE_OUTPUT_H

#include "base/buf.h"
#include "command.h"
#include "store/db.h"
#include "store/events.h"
#include "store/jobs.h"
#include "store/run.h"

/* Appends a JSON value for people: a string without its quotes. NULL:
 * nothing. */
void output_add_value(struct buf *out, const char *json);

/* Appends `,"name":` and JSON; NULL: null. */
void output_add_json(struct buf *out, const char *name, const char *json);

/* The same with a text, as a string. */
void output_add_text(struct buf *out, const char *name, const char *text);

/* Appends a JSON object with what a list of jobs and a single one have in
 * common, and leaves it open. */
void output_add_job(struct buf *out, const struct job *j);

/* Appends all about a run but its input, as a JSON object. */
void output_add_run(struct buf *out, const struct run *r);

/* Appends an event as tail prints it: `created_at id job type data` with tabs
 * and a line feed, or as JSON without one. */
void output_add_event(struct buf *out, const struct command_line *c,
    const struct db *db, const struct event_row *row);

#endif
