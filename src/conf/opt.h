/* SPDX-License-Identifier: ISC */
/*
 * Reads settings described by a table: command line, environment, file,
 * default, in this order of precedence. Layer: conf; knows no setting itself.
 *
 * A setting `retry_min` is the flag --retry-min (`--retry-min 1s` or
 * `--retry-min=1s`), the variable JOBWIRE_RETRY_MIN and the line
 * `retry_min = 1s` of a file. In a file, `#` starts a line of comment (a value
 * may hold one), and a later line wins over an earlier one. An empty value
 * unsets a string; an empty variable counts as no variable. Durations take ms,
 * s, m, h, d (a bare number is seconds) and are stored in milliseconds; sizes
 * take k, m (a bare number is bytes).
 */
#ifndef JOBWIRE_OPT_H
#define JOBWIRE_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum opt_type {
	OPT_STRING,   /* char *, owned by the target, NULL when unset */
	OPT_INT,      /* int64_t */
	OPT_DURATION, /* int64_t, milliseconds */
	OPT_SIZE,     /* int64_t, bytes */
	OPT_CHOICE,   /* int, index into `choices` */
	OPT_FLAG, /* bool; a flag without a value; only on the command line */
	OPT_GONE, /* was a setting once: what is given is passed over */
};

struct opt_def {
	const char *name; /* as in a file: lower case and _ */
	enum opt_type type;
	const char *fallback; /* default in the file's notation; NULL: unset */
	const char *other_fallback; /* the default of other_programs */
	unsigned other_programs;    /* bit mask: who has another default */
	int64_t min, max; /* numbers: both included; checked unless max is 0 */
	const char *choices; /* OPT_CHOICE: "a|b|c" */
	size_t offset;	     /* of the member in the target structure */
	unsigned programs;   /* bit mask: who uses it */
	bool secret;	     /* never shown */
	bool live;	     /* opt_swap() may change it in a running program */
	const char *metavar; /* "PATH" in --help; NULL: by the type */
	const char *help;    /* one line for --help, the manual, the example;
				OPT_GONE: what there is instead */
};

/* Flags of the command line alone, into a target of their own; their names are
 * not those of settings. */
struct opt_flags {
	const struct opt_def *defs; /* those of this command */
	void *target;		    /* zeroed; opt_done() frees its strings */
	const struct opt_def *const *others; /* tables of all commands, ended
						by NULL: what only another one
						has is refused as such */
};

/* What opt_load works on. Arrays end with an entry whose name is NULL. */
struct opt_source {
	const struct opt_def *defs;
	unsigned program;    /* this program's bit */
	const char *file;    /* NULL: none; a missing default is no error */
	bool file_required;  /* the file was named by the user */
	const char *aliases; /* "a|b": in a file `a_x` stands for x in the
				  program whose bit is 1, `b_x` in the one whose
				  bit is 2, and other programs pass it over: for
				  settings that two programs give different
				  values in one file. A name may stand at
				  several bits. NULL: none */
	const struct opt_flags *flags; /* NULL: none but those of settings */
};

/*
 * Fills target. argv is what follows the program's name; arguments that are
 * not flags are moved to its front and *ret_argc is their number; "--" ends
 * the flags. On failure (ERR_PROTO, ERR_SYS, ERR_NOMEM) *message says what is
 * wrong with which flag, variable, or file and line, in one line without a
 * secret. A known name of another program is ignored in a file and in the
 * environment and refused as a flag; an unknown name in a file is an error.
 * JOBWIRE_* variables that name no setting are ignored. On success *message
 * says where a setting was given that is gone (OPT_GONE); mostly, it is empty.
 * The target must be zeroed; call opt_done() after success and failure.
 */
CHECK_RESULT enum err opt_load(const struct opt_source *src, void *target,
    int argc, char **argv, int *ret_argc, struct buf *message);

/* The last step of opt_load() alone: without defaults, file and environment. */
CHECK_RESULT enum err opt_load_words(const struct opt_source *src, void *target,
    int argc, char **argv, int *ret_argc, struct buf *message);

/*
 * What has to be known of a command line before it can be loaded, read as
 * opt_load() does: the value of a setting's flag, the last one ("" when it has
 * none, NULL when it is not there; -h is --help), and the n-th argument that is
 * no flag, from 0 (NULL: there are less). argv as for opt_load(); borrowed from
 * it.
 */
const char *opt_find_flag(
    const struct opt_source *src, int argc, char **argv, const char *name);
const char *opt_argument(
    const struct opt_source *src, int argc, char **argv, int n);

/* Frees the strings in target. */
void opt_done(const struct opt_def *defs, void *target);

/* The flags of `program`, one per line with default and help. */
void opt_help(const struct opt_def *defs, unsigned program, struct buf *out);

/* `name = value` for each setting of `program`; a secret is `(set)`. */
void opt_show(const struct opt_def *defs, unsigned program, const void *target,
    struct buf *out);

/*
 * What two targets of `program` differ in: the live ones change places, the
 * names of the others are appended to *ret_kept, separated by ", ". So a second
 * call with the same targets undoes the first.
 */
void opt_swap(const struct opt_def *defs, unsigned program, void *a, void *b,
    struct buf *ret_kept);

#endif
