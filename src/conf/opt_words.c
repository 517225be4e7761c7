/* SPDX-License-Identifier: ISC */
/*
 * Tells flags, their values and arguments of a command line apart; what a
 * value means is opt.c's. Pure.
 */
#include "conf/opt_words.h"

#include <string.h>

const struct opt_def *
opt_find_def(const struct opt_def *d, struct span name, char separator)
{
	size_t i;

	for (; d->name != NULL; d++) {
		for (i = 0; i < name.n && d->name[i] != '\0'; i++)
			if (name.p[i] !=
			    (d->name[i] == '_' ? separator : d->name[i]))
				break;
		if (i == name.n && d->name[i] == '\0')
			return d;
	}
	return NULL;
}

/* Of commands, the one at hand first. NULL: none of them has such a flag. */
static const struct opt_def *
find_command_flag(
    const struct opt_flags *flags, struct span name, enum opt_word_kind *ret)
{
	const struct opt_def *d = opt_find_def(flags->defs, name, '-');

	*ret = OPT_WORD_FLAG;
	for (size_t i = 0; d == NULL && flags->others[i] != NULL; i++) {
		*ret = OPT_WORD_OTHER;
		d = opt_find_def(flags->others[i], name, '-');
	}
	return d;
}

/* Finds whose flag a name is, and sets the kind and the definition. What is a
 * setting of other programs only may be a command's flag, too. */
static void
find_flag(const struct opt_source *src, struct span name, struct opt_word *w)
{
	const struct opt_def *setting = opt_find_def(src->defs, name, '-');
	bool is_others = setting != NULL && src->program != 0 &&
			 (setting->programs & src->program) == 0;

	w->kind = OPT_WORD_UNKNOWN;
	w->def = NULL;
	if (src->flags != NULL && (setting == NULL || is_others))
		w->def = find_command_flag(src->flags, name, &w->kind);
	if (w->def == NULL && setting != NULL) {
		w->kind = OPT_WORD_SETTING;
		w->def = setting;
	}
	if (w->def == NULL)
		w->kind = OPT_WORD_UNKNOWN;
}

static void
find_word(const struct opt_source *src, struct opt_word *w)
{
	const char *text = strcmp(w->text, "-h") == 0 ? "--help" : w->text;

	w->kind = OPT_WORD_UNKNOWN;
	if (text[1] == '-')
		find_flag(
		    src, (struct span){text + 2, strcspn(text, "=") - 2}, w);
}

bool
opt_next_word(struct opt_words *words, struct opt_word *ret)
{
	struct opt_word w = {0};

	if (words->next < words->argc && !words->flags_ended &&
	    strcmp(words->argv[words->next], "--") == 0) {
		words->flags_ended = true;
		words->next++;
	}
	if (words->next >= words->argc)
		return false;
	w.text = words->argv[words->next++];
	if (!words->flags_ended && w.text[0] == '-' && w.text[1] != '\0') {
		find_word(words->src, &w);
		w.value = strchr(w.text, '=');
		if (w.value != NULL)
			w.value++;
		else if (w.def != NULL && w.def->type != OPT_FLAG &&
			 words->next < words->argc)
			w.value = words->argv[words->next++];
	}
	*ret = w;
	return true;
}

const char *
opt_find_flag(
    const struct opt_source *src, int argc, char **argv, const char *name)
{
	struct opt_words words = {.src = src, .argc = argc, .argv = argv};
	const char *found = NULL;
	struct opt_word w;

	while (opt_next_word(&words, &w))
		if (w.kind == OPT_WORD_SETTING &&
		    strcmp(w.def->name, name) == 0)
			found = w.value != NULL ? w.value : "";
	return found;
}

const char *
opt_argument(const struct opt_source *src, int argc, char **argv, int n)
{
	struct opt_words words = {.src = src, .argc = argc, .argv = argv};
	struct opt_word w;

	while (opt_next_word(&words, &w))
		if (w.kind == OPT_WORD_ARGUMENT && n-- == 0)
			return w.text;
	return NULL;
}
