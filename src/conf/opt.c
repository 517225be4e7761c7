/* SPDX-License-Identifier: ISC */
/*
 * Loads settings by a table: defaults, then the file, the environment and the
 * command line, each over the one before. The settings themselves, and rules
 * that involve two of them, are conf/settings. Blocks on the file; for
 * start-up only.
 */
#include "conf/opt.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/near.h"
#include "conf/opt_words.h"
#include "text/decimal.h"
#include "text/span.h"

enum {
	FILE_MAX_BYTES = 64 * 1024, /* a configuration is far smaller */
	FLAG_COLUMN = 32,	    /* where --help starts the help texts */
};

struct unit {
	const char *name;
	int64_t factor;
};

/* What a load works on; `where` names the source of the present value. */
struct load {
	const struct opt_source *src;
	void *target;
	struct buf *message;
	struct buf where;
};

static const char white_space[] = " \t\r\v\f";

static const struct unit int_units[] = {{"", 1}, {NULL, 0}};
static const struct unit duration_units[] = {{"", 1000}, {"ms", 1}, {"s", 1000},
    {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 24 * 3600 * 1000}, {NULL, 0}};
static const struct unit size_units[] = {
    {"", 1}, {"k", 1024}, {"m", 1024 * 1024}, {NULL, 0}};

/* --- Values --------------------------------------------------------------- */

static const struct unit *
units_of(enum opt_type type)
{
	if (type == OPT_DURATION)
		return duration_units;
	return type == OPT_SIZE ? size_units : int_units;
}

/* The n-th of "a|b|c"; an empty span after the last. */
static struct span
choice_at(const char *choices, int n)
{
	struct span rest = span_of(choices);

	for (; n > 0; n--)
		(void)span_cut(&rest, '|');
	return span_cut(&rest, '|');
}

/* The place of `text` in "a|b|c", -1 when it is not there. */
static int
choice_index(const char *choices, struct span text)
{
	struct span c;
	int i;

	for (i = 0; (c = choice_at(choices, i)).n > 0; i++)
		if (span_eq(c, text))
			return i;
	return -1;
}

static enum err
set_string(char **member, struct span text)
{
	char *copy = NULL;

	if (text.n > 0) {
		copy = span_dup(text);
		if (copy == NULL)
			return ERR_NOMEM;
	}
	free(*member);
	*member = copy;
	return OK;
}

static enum err
set_number(const struct opt_def *d, int64_t *member, struct span text)
{
	const struct unit *u = units_of(d->type);
	int64_t n;
	enum err e = decimal_cut(&text, &n);

	if (e != OK)
		return e;
	while (u->name != NULL && !span_eq_str(text, u->name))
		u++;
	if (u->name == NULL || __builtin_mul_overflow(n, u->factor, &n) ||
	    (d->max != 0 && (n < d->min || n > d->max)))
		return ERR_PROTO;
	*member = n;
	return OK;
}

static enum err
set_choice(const struct opt_def *d, int *member, struct span text)
{
	int i = choice_index(d->choices, text);

	if (i < 0)
		return ERR_PROTO;
	*member = i;
	return OK;
}

static enum err
set_value(const struct opt_def *d, void *target, struct span text)
{
	void *member = (char *)target + d->offset;

	switch (d->type) {
	case OPT_STRING:
		return set_string(member, text);
	case OPT_INT:
	case OPT_DURATION:
	case OPT_SIZE:
		return set_number(d, member, text);
	case OPT_CHOICE:
		return set_choice(d, member, text);
	case OPT_FLAG:
		*(bool *)member = true;
		return OK;
	case OPT_GONE:
		return OK;
	}
	return ERR_PROTO;
}

/* A number in the largest unit that divides it, as the parser reads it. */
static void
show_number(const struct opt_def *d, int64_t n, struct buf *out)
{
	const struct unit *best, *u = units_of(d->type);

	for (best = u++; u->name != NULL; u++)
		if (n % u->factor == 0 && (n != 0 || u->factor == 1))
			best = u;
	buf_addf(out, "%lld%s", (long long)(n / best->factor), best->name);
}

static void
show_value(const struct opt_def *d, const void *target, struct buf *out)
{
	const void *member = (const char *)target + d->offset;

	switch (d->type) {
	case OPT_STRING:
		buf_add_span(out, span_of(*(char *const *)member));
		break;
	case OPT_INT:
	case OPT_DURATION:
	case OPT_SIZE:
		show_number(d, *(const int64_t *)member, out);
		break;
	case OPT_CHOICE:
		buf_add_span(out, choice_at(d->choices, *(const int *)member));
		break;
	case OPT_FLAG:
	case OPT_GONE:
		break;
	}
}

/* --- Names ---------------------------------------------------------------- */

static void
add_flag(struct buf *out, const char *name)
{
	buf_add_str(out, "--");
	for (; *name != '\0'; name++)
		buf_add_char(out, *name == '_' ? '-' : *name);
}

static void
add_variable(struct buf *out, const char *name)
{
	buf_add_str(out, "JOBWIRE_");
	for (; *name != '\0'; name++)
		buf_add_char(out, (char)toupper((unsigned char)*name));
}

/* What the user wrote, made fit for a message of one line. */
static void
add_printable(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		buf_add_char(
		    out, isgraph((unsigned char)text.p[i]) ? text.p[i] : '?');
}

/* --- Sources -------------------------------------------------------------- */

static enum err
refuse(struct load *l, const char *why)
{
	if (l->message->len > 0)
		buf_add_str(l->message, "; ");
	buf_add_span(l->message, buf_span(&l->where));
	buf_addf(l->message, ": %s", why);
	return ERR_PROTO;
}

/* The value itself is not repeated: it may be a secret. */
static enum err
refuse_value(struct load *l, const struct opt_def *d)
{
	static const char *const kinds[] = {
	    [OPT_STRING] = "a text",
	    [OPT_INT] = "a whole number",
	    [OPT_DURATION] = "a time such as 500ms, 30s or 2h",
	    [OPT_SIZE] = "a size such as 4096, 64k or 32m",
	    [OPT_CHOICE] = "one of ",
	    [OPT_FLAG] = "without a value",
	    [OPT_GONE] = "",
	};
	struct buf *m = l->message;

	(void)refuse(l, d->name);
	buf_addf(m, " must be %s", kinds[d->type]);
	if (d->choices != NULL)
		buf_add_str(m, d->choices);
	if (d->max != 0) {
		buf_add_str(m, ", from ");
		show_number(d, d->min, m);
		buf_add_str(m, " to ");
		show_number(d, d->max, m);
	}
	return ERR_PROTO;
}

/* A setting that was taken away must not keep a program from starting. */
static void
say_gone(struct load *l, const struct opt_def *d)
{
	(void)refuse(l, d->name);
	buf_addf(l->message, " has no effect any more: %s", d->help);
}

static enum err
take_value(
    struct load *l, const struct opt_def *d, void *target, struct span text)
{
	enum err e = set_value(d, target, text);

	if (d->type == OPT_GONE)
		say_gone(l, d);
	return e == ERR_PROTO ? refuse_value(l, d) : e;
}

static const char *
fallback_of(const struct opt_def *d, unsigned program)
{
	return (d->other_programs & program) != 0 ? d->other_fallback
						  : d->fallback;
}

static enum err
take_defaults(
    struct load *l, const struct opt_def *d, unsigned program, void *target)
{
	const char *text;
	enum err e = OK;

	buf_reset(&l->where);
	buf_add_str(&l->where, "default");
	for (; d->name != NULL && e == OK; d++) {
		text = fallback_of(d, program);
		if (text != NULL)
			e = take_value(l, d, target, span_of(text));
	}
	return e;
}

/* The programs that an alias stands for. */
static unsigned
alias_programs(const char *aliases, struct span alias)
{
	unsigned programs = 0;
	struct span c;

	for (int i = 0; (c = choice_at(aliases, i)).n > 0; i++)
		if (span_eq(c, alias))
			programs |= 1u << i;
	return programs;
}

/* The setting a file's key means; *ret_is_ours is false when it is one that
 * this program passes over. */
static const struct opt_def *
find_key(const struct opt_source *src, struct span key, bool *ret_is_ours)
{
	const struct opt_def *d = opt_find_def(src->defs, key, '_');
	struct span rest = key, alias = span_cut(&rest, '_');
	unsigned programs = 0;

	if (d != NULL) {
		programs = d->programs;
	} else if (src->aliases != NULL && rest.n > 0) {
		programs = alias_programs(src->aliases, alias);
		d = programs == 0 ? NULL : opt_find_def(src->defs, rest, '_');
		programs &= d == NULL ? 0 : d->programs;
	}
	*ret_is_ours = (programs & src->program) != 0;
	return d;
}

/* Adds the setting that was meant, if there is one. */
static void
suggest_setting(struct load *l, struct span key)
{
	struct buf text = BUF_INIT;
	struct near n;

	buf_add_span(&text, key);
	n = (struct near){.text = buf_span(&text).p};
	for (const struct opt_def *d = l->src->defs; d->name != NULL; d++)
		if (d->type != OPT_FLAG && d->type != OPT_GONE)
			near_offer(&n, d->name);
	if (n.best != NULL)
		buf_addf(l->message, "; did you mean %s?", n.best);
	buf_done(&text);
}

static enum err
take_line(struct load *l, struct span line)
{
	const struct opt_def *d;
	struct span key;
	bool is_ours;

	line = span_trim(line, white_space);
	if (line.n == 0 || line.p[0] == '#')
		return OK;
	if (memchr(line.p, '=', line.n) == NULL)
		return refuse(l, "expected `name = value`");
	key = span_trim(span_cut(&line, '='), white_space);
	d = find_key(l->src, key, &is_ours);
	if (d == NULL) {
		(void)refuse(l, "unknown setting ");
		add_printable(l->message, key);
		suggest_setting(l, key);
		return ERR_PROTO;
	}
	if (d->type == OPT_FLAG)
		return refuse(l, "this is for the command line only");
	return is_ours
		   ? take_value(l, d, l->target, span_trim(line, white_space))
		   : OK;
}

static enum err
take_lines(struct load *l, struct span text)
{
	enum err e = OK;

	for (int number = 1; e == OK && text.n > 0; number++) {
		buf_reset(&l->where);
		buf_addf(&l->where, "%s:%d", l->src->file, number);
		e = take_line(l, span_cut(&text, '\n'));
	}
	return e;
}

static enum err
take_file(struct load *l)
{
	struct buf content = BUF_INIT;
	enum err e;

	buf_reset(&l->where);
	buf_add_str(&l->where, l->src->file);
	e = file_read(l->src->file, FILE_MAX_BYTES, &content);
	if (e == ERR_SYS && errno == ENOENT && !l->src->file_required)
		e = OK;
	else if (e != OK)
		(void)refuse(l, e == ERR_SYS ? strerror(errno) : err_text(e));
	else if (strlen(buf_span(&content).p) != content.len)
		e = refuse(l, "holds a zero byte, so it is no text");
	else
		e = take_lines(l, buf_span(&content));
	buf_done(&content);
	return e == ERR_LIMIT ? ERR_PROTO : e;
}

static enum err
take_environment(struct load *l)
{
	const struct opt_def *d;
	const char *text;
	enum err e = OK;

	for (d = l->src->defs; d->name != NULL && e == OK; d++) {
		if ((d->programs & l->src->program) == 0 || d->type == OPT_FLAG)
			continue;
		buf_reset(&l->where);
		add_variable(&l->where, d->name);
		text = getenv(buf_span(&l->where).p);
		if (text != NULL && text[0] != '\0')
			e = take_value(l, d, l->target, span_of(text));
	}
	return e;
}

static void
offer_flags(struct near *n, struct buf *names, const struct opt_def *d,
    unsigned program)
{
	for (; d->name != NULL; d++) {
		if ((d->programs & program) == 0)
			continue;
		buf_reset(names);
		add_flag(names, d->name);
		if (!buf_ok(names))
			return;
		near_offer(n, names->data);
		if (n->best == names->data)
			n->best = d->name;
	}
}

/* Adds the flag that was meant, if there is one, to the refusal of another. */
static void
suggest_flag(struct load *l)
{
	const struct opt_flags *more = l->src->flags;
	struct near n = {.text = buf_span(&l->where).p};
	struct buf name = BUF_INIT;

	offer_flags(&n, &name, l->src->defs, l->src->program);
	if (more != NULL)
		offer_flags(&n, &name, more->defs, l->src->program);
	if (n.best != NULL) {
		buf_add_str(l->message, "; did you mean ");
		add_flag(l->message, n.best);
		buf_add_char(l->message, '?');
	}
	buf_done(&name);
}

static enum err
take_flag(struct load *l, const struct opt_word *w)
{
	const struct opt_def *d = w->def;
	bool is_setting = w->kind == OPT_WORD_SETTING;

	buf_reset(&l->where);
	add_printable(&l->where, (struct span){w->text, strcspn(w->text, "=")});
	if (w->kind == OPT_WORD_OTHER)
		return refuse(l, "not a flag of this command");
	if (d == NULL || (d->programs & l->src->program) == 0) {
		(void)refuse(l, "unknown flag");
		suggest_flag(l);
		return ERR_PROTO;
	}
	if (d->type == OPT_FLAG && w->value != NULL)
		return refuse_value(l, d);
	/* An empty setting is one that is not set. A flag of a command that
	 * were passed over could widen what it limits. */
	if (d->type != OPT_FLAG &&
	    (w->value == NULL || (!is_setting && *w->value == '\0')))
		return refuse(l, "needs a value");
	return take_value(l, d, is_setting ? l->target : l->src->flags->target,
	    span_of(w->value));
}

static enum err
take_words(struct load *l, int argc, char **argv, int *ret_argc)
{
	struct opt_words words = {.src = l->src, .argc = argc, .argv = argv};
	struct opt_word w;
	int n = 0;
	enum err e = OK;

	while (e == OK && opt_next_word(&words, &w)) {
		if (w.kind == OPT_WORD_ARGUMENT)
			argv[n++] = w.text;
		else
			e = take_flag(l, &w);
	}
	if (e == OK)
		*ret_argc = n;
	return e;
}

static enum err
end_load(struct load *l, enum err e)
{
	if (e == ERR_NOMEM && l->message->len == 0)
		buf_add_str(l->message, err_text(e));
	buf_done(&l->where);
	return e;
}

enum err
opt_load_words(const struct opt_source *src, void *target, int argc,
    char **argv, int *ret_argc, struct buf *message)
{
	struct load l = {src, target, message, BUF_INIT};

	return end_load(&l, take_words(&l, argc, argv, ret_argc));
}

enum err
opt_load(const struct opt_source *src, void *target, int argc, char **argv,
    int *ret_argc, struct buf *message)
{
	struct load l = {src, target, message, BUF_INIT};
	const struct opt_flags *more = src->flags;
	enum err e = take_defaults(&l, src->defs, src->program, target);

	if (e == OK && more != NULL)
		e = take_defaults(&l, more->defs, src->program, more->target);
	if (e == OK && src->file != NULL)
		e = take_file(&l);
	if (e == OK)
		e = take_environment(&l);
	if (e == OK)
		e = take_words(&l, argc, argv, ret_argc);
	return end_load(&l, e);
}

void
opt_done(const struct opt_def *defs, void *target)
{
	for (; defs->name != NULL; defs++)
		if (defs->type == OPT_STRING)
			(void)set_string(
			    (void *)((char *)target + defs->offset),
			    (struct span){0});
}

static const char *
metavar_of(const struct opt_def *d)
{
	static const char *const by_type[] = {
	    [OPT_STRING] = "TEXT",
	    [OPT_INT] = "N",
	    [OPT_DURATION] = "TIME",
	    [OPT_SIZE] = "SIZE",
	    [OPT_CHOICE] = "CHOICE",
	    [OPT_FLAG] = "",
	    [OPT_GONE] = "",
	};

	if (d->metavar != NULL)
		return d->metavar;
	return d->type == OPT_CHOICE ? d->choices : by_type[d->type];
}

void
opt_help(const struct opt_def *defs, unsigned program, struct buf *out)
{
	struct buf flag = BUF_INIT;
	const char *fallback;

	for (; defs->name != NULL; defs++) {
		if ((defs->programs & program) == 0 || defs->type == OPT_GONE)
			continue;
		buf_reset(&flag);
		add_flag(&flag, defs->name);
		buf_addf(&flag, " %s", metavar_of(defs));
		buf_addf(out, "  %-*s %s", FLAG_COLUMN, buf_span(&flag).p,
		    defs->help);
		fallback = fallback_of(defs, program);
		if (fallback != NULL)
			buf_addf(out, " (%s)", fallback);
		buf_add_char(out, '\n');
	}
	if (!buf_ok(&flag))
		out->failed = true;
	buf_done(&flag);
}

void
opt_show(const struct opt_def *defs, unsigned program, const void *target,
    struct buf *out)
{
	struct buf value = BUF_INIT;

	for (; defs->name != NULL; defs++) {
		if ((defs->programs & program) == 0 || defs->type == OPT_FLAG ||
		    defs->type == OPT_GONE)
			continue;
		buf_reset(&value);
		show_value(defs, target, &value);
		buf_addf(out, "%s = %s\n", defs->name,
		    defs->secret && value.len > 0 ? "(set)"
						  : buf_span(&value).p);
	}
	if (!buf_ok(&value))
		out->failed = true;
	buf_done(&value);
}
