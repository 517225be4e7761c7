/* SPDX-License-Identifier: ISC */
/*
 * The words of a command line. Layer: conf, private to opt.
 */
#ifndef JOBWIRE_OPT_WORDS_H
#define JOBWIRE_OPT_WORDS_H

#include <stdbool.h>

#include "conf/opt.h"

enum opt_word_kind {
	OPT_WORD_ARGUMENT,
	OPT_WORD_SETTING, /* all others are flags, too */
	OPT_WORD_FLAG,	  /* one of opt_flags.defs */
	OPT_WORD_OTHER,	  /* one of another command */
	OPT_WORD_UNKNOWN,
};

/* What is borrowed comes from argv and from the tables. */
struct opt_word {
	enum opt_word_kind kind;
	char *text;
	const struct opt_def *def; /* of a flag; NULL: unknown */
	const char *value;	   /* of a flag; NULL: it has none */
};

/* Set the first three, and the rest to zero. */
struct opt_words {
	const struct opt_source *src;
	int argc;
	char **argv;
	int next;
	bool flags_ended; /* "--" was there */
};

/* The next argument or flag; a flag's value may be a word of its own. False:
 * that was all. */
bool opt_next_word(struct opt_words *words, struct opt_word *ret);

/* The setting with that name, `separator` standing for each `_`; or NULL. */
const struct opt_def *opt_find_def(
    const struct opt_def *d, struct span name, char separator);

#endif
