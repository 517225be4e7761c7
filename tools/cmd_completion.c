/* SPDX-License-Identifier: ISC */
/*
 * jobwire completion: what bash, zsh or fish completes, made of the same tables
 * as the help, so that no command and no option is forgotten. Pure.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/near.h"
#include "command.h"

/* --- What there is -------------------------------------------------------- */

/* The words that an argument can be, as the usage has them first of all:
 * "show|cancel|retry|take RUN". Names in capitals are for people to fill in. */
static void
add_words(struct buf *out, const char *arguments)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";

	for (const char *at = arguments; islower((unsigned char)*at);) {
		size_t n = strspn(at, letters);

		if (out->len > 0)
			buf_add_char(out, ' ');
		buf_add(out, at, n);
		at += n;
		at += strspn(at, " |");
	}
}

/* Calls fn for each option of a table that the command line has. */
static void
each_flag(struct buf *out, const struct opt_def *defs,
    void (*fn)(struct buf *out, const struct opt_def *d))
{
	for (; defs != NULL && defs->name != NULL; defs++)
		if ((defs->programs & PROGRAM_TOOL) != 0 &&
		    defs->type != OPT_GONE)
			fn(out, defs);
}

/* `retry_min` as it is written in a command line. */
static void
add_name(struct buf *out, const char *name)
{
	for (; *name != '\0'; name++)
		buf_add_char(out, *name == '_' ? '-' : *name);
}

static void
add_option(struct buf *out, const struct opt_def *d)
{
	buf_add_str(out, " --");
	add_name(out, d->name);
}

/* "a|b|c" as words. */
static void
add_choices(struct buf *out, const char *choices)
{
	for (; *choices != '\0'; choices++)
		buf_add_char(out, *choices == '|' ? ' ' : *choices);
}

static bool
is_path(const struct opt_def *d)
{
	return d->metavar != NULL && (strcmp(d->metavar, "FILE") == 0 ||
					 strcmp(d->metavar, "FOLDER") == 0);
}

/* Between single quotes of a shell. */
static void
add_quoted(struct buf *out, const char *text, const char *escaped)
{
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			buf_add_str(out, "'\\'");
		else if (strchr(escaped, *text) != NULL)
			buf_add_char(out, '\\');
		buf_add_char(out, *text);
	}
}

/* --- For bash ------------------------------------------------------------- */

/* A case of what stands before the word. */
static void
bash_value(struct buf *out, const struct opt_def *d)
{
	if (d->type == OPT_FLAG)
		return;
	buf_add_str(out, "\t--");
	add_name(out, d->name);
	if (d->type == OPT_CHOICE) {
		buf_add_str(out, ") COMPREPLY=($(compgen -W '");
		add_choices(out, d->choices);
		buf_add_str(out, "' -- \"$word\")); return ;;\n");
	} else if (is_path(d)) {
		buf_add_str(out,
		    ") COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n");
	} else {
		buf_add_str(out, ") return ;;\n");
	}
}

static void
bash_skip(struct buf *out, const struct opt_def *d)
{
	if (d->type == OPT_FLAG)
		return;
	buf_add_str(out, "--");
	add_name(out, d->name);
	buf_add_char(out, '|');
}

static void
bash_names(struct buf *out)
{
	const struct command *cmd;

	for (size_t i = 0; (cmd = command_at(i)) != NULL; i++)
		buf_addf(out, "%s%s", i > 0 ? " " : "", cmd->name);
}

static void
bash_command(struct buf *out, const struct command *cmd)
{
	struct buf words = BUF_INIT;

	add_words(&words, cmd->arguments);
	buf_addf(out, "\t%s) words=\"%s", cmd->name, buf_span(&words).p);
	if (strcmp(cmd->arguments, "[COMMAND]") == 0)
		bash_names(out);
	each_flag(out, cmd->flags, add_option);
	buf_add_str(out, " $common\" ;;\n");
	out->failed = out->failed || !buf_ok(&words);
	buf_done(&words);
}

static void
add_bash(struct buf *out)
{
	const struct command *cmd;
	size_t i;

	buf_add_str(out, "# bash completion of jobwire, made by: "
			 "jobwire completion bash\n"
			 "_jobwire()\n{\n"
			 "\tlocal word=${COMP_WORDS[COMP_CWORD]} command= "
			 "words common='");
	each_flag(out, settings_table, add_option);
	buf_add_str(out, "' i\n\tCOMPREPLY=()\n"
			 "\tcase ${COMP_WORDS[COMP_CWORD-1]} in\n");
	each_flag(out, settings_table, bash_value);
	for (i = 0; (cmd = command_at(i)) != NULL; i++)
		each_flag(out, cmd->flags, bash_value);
	buf_add_str(out,
	    "\t=) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
	    "\tesac\n"
	    "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	    "\t\tcase ${COMP_WORDS[i]} in\n\t\t");
	each_flag(out, settings_table, bash_skip);
	buf_add_str(out, "=) ((i++)); [[ ${COMP_WORDS[i]} != = ]] || "
			 "((i++)) ;;\n"
			 "\t\t-*) ;;\n"
			 "\t\t*) command=${COMP_WORDS[i]}; break ;;\n"
			 "\t\tesac\n\tdone\n\tcase $command in\n"
			 "\t'') words=\"");
	bash_names(out);
	buf_add_str(out, " $common\" ;;\n");
	for (i = 0; (cmd = command_at(i)) != NULL; i++)
		bash_command(out, cmd);
	buf_add_str(out, "\t*) return ;;\n\tesac\n"
			 "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
			 "}\ncomplete -F _jobwire jobwire\n");
}

/* --- For zsh -------------------------------------------------------------- */

static void
zsh_option(struct buf *out, const struct opt_def *d)
{
	buf_add_str(out, " \\\n\t\t'--");
	add_name(out, d->name);
	buf_add_char(out, '[');
	add_quoted(out, d->help, "[]:\\");
	buf_add_char(out, ']');
	if (d->type == OPT_CHOICE) {
		buf_add_str(out, ":value:(");
		add_choices(out, d->choices);
		buf_add_char(out, ')');
	} else if (d->type != OPT_FLAG) {
		buf_add_str(out, is_path(d) ? ":file:_files" : ":value:");
	}
	buf_add_char(out, '\'');
}

static void
zsh_command(struct buf *out, const struct command *cmd)
{
	struct buf words = BUF_INIT;

	add_words(&words, cmd->arguments);
	buf_addf(out, "\t%s) _arguments $common", cmd->name);
	each_flag(out, cmd->flags, zsh_option);
	if (strcmp(cmd->arguments, "[COMMAND]") == 0) {
		buf_add_str(out, " '1:command:(");
		bash_names(out);
		buf_add_str(out, ")'");
	} else if (words.len > 0) {
		buf_addf(out, " '1:what:(%s)' '*: :'", words.data);
	} else if (cmd->max > 0) {
		buf_add_str(out, " '*:argument:_files'");
	}
	buf_add_str(out, " ;;\n");
	out->failed = out->failed || !buf_ok(&words);
	buf_done(&words);
}

static void
add_zsh(struct buf *out)
{
	const struct command *cmd;
	size_t i;

	buf_add_str(out, "#compdef jobwire\n"
			 "# zsh completion of jobwire, made by: "
			 "jobwire completion zsh\n"
			 "_jobwire() {\n"
			 "\tlocal state line curcontext=$curcontext\n"
			 "\tlocal -a commands common\n\tcommands=(");
	for (i = 0; (cmd = command_at(i)) != NULL; i++) {
		buf_addf(out, "\n\t\t'%s:", cmd->name);
		add_quoted(out, cmd->summary, ":\\");
		buf_add_char(out, '\'');
	}
	buf_add_str(out, "\n\t)\n\tcommon=(");
	each_flag(out, settings_table, zsh_option);
	buf_add_str(out, "\n\t)\n"
			 "\t_arguments -C $common '1:command:->command' "
			 "'*::argument:->argument'\n"
			 "\tif [[ $state == command ]]; then\n"
			 "\t\t_describe command commands\n\t\treturn\n\tfi\n"
			 "\tcase $words[1] in\n");
	for (i = 0; (cmd = command_at(i)) != NULL; i++)
		zsh_command(out, cmd);
	buf_add_str(out, "\tesac\n}\n_jobwire \"$@\"\n");
}

/* --- For fish ------------------------------------------------------------- */

/* Ends a line. Here a quote is escaped, not closed and opened. */
static void
fish_help(struct buf *out, const char *text)
{
	buf_add_str(out, " -d '");
	for (; *text != '\0'; text++) {
		if (*text == '\'' || *text == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, *text);
	}
	buf_add_str(out, "'\n");
}

/* The rest of a line that has said when it counts. */
static void
fish_option(struct buf *out, const struct opt_def *d)
{
	buf_add_str(out, " -l ");
	add_name(out, d->name);
	if (d->type == OPT_CHOICE) {
		buf_add_str(out, " -x -a '");
		add_choices(out, d->choices);
		buf_add_char(out, '\'');
	} else if (d->type != OPT_FLAG) {
		buf_add_str(out, is_path(d) ? " -r -F" : " -x");
	}
	fish_help(out, d->help);
}

static void
fish_common(struct buf *out, const struct opt_def *d)
{
	buf_add_str(out, "complete -c jobwire");
	fish_option(out, d);
}

static void
fish_command(struct buf *out, const struct command *cmd)
{
	struct buf words = BUF_INIT;

	buf_addf(out, "complete -c jobwire -n __fish_use_subcommand -a %s",
	    cmd->name);
	fish_help(out, cmd->summary);
	add_words(&words, cmd->arguments);
	if (strcmp(cmd->arguments, "[COMMAND]") == 0)
		bash_names(&words);
	if (words.len > 0)
		buf_addf(out,
		    "complete -c jobwire -n '__fish_seen_subcommand_from %s' "
		    "-a '%s'\n",
		    cmd->name, words.data);
	for (const struct opt_def *d = cmd->flags; d != NULL && d->name != NULL;
	     d++) {
		buf_addf(out,
		    "complete -c jobwire -n '__fish_seen_subcommand_from %s'",
		    cmd->name);
		fish_option(out, d);
	}
	out->failed = out->failed || !buf_ok(&words);
	buf_done(&words);
}

static void
add_fish(struct buf *out)
{
	const struct command *cmd;

	buf_add_str(out, "# fish completion of jobwire, made by: "
			 "jobwire completion fish\ncomplete -c jobwire -f\n");
	each_flag(out, settings_table, fish_common);
	for (size_t i = 0; (cmd = command_at(i)) != NULL; i++)
		fish_command(out, cmd);
}

/* --- The command ---------------------------------------------------------- */

static const struct {
	const char *name;
	void (*add)(struct buf *out);
} shells[] = {{"bash", add_bash}, {"zsh", add_zsh}, {"fish", add_fish}};

static int
run(const struct command_line *c)
{
	struct near near = {.text = c->args[0]};
	struct buf out = BUF_INIT;
	size_t i;

	for (i = 0; i < sizeof(shells) / sizeof(*shells); i++) {
		near_offer(&near, shells[i].name);
		if (strcmp(shells[i].name, c->args[0]) == 0)
			break;
	}
	if (i == sizeof(shells) / sizeof(*shells))
		return command_misuse_near("completion: no such shell", &near);
	shells[i].add(&out);
	if (buf_ok(&out))
		(void)fwrite(out.data, 1, out.len, stdout);
	i = buf_ok(&out);
	buf_done(&out);
	return i ? EXIT_DONE : command_fail("completion", err_text(ERR_NOMEM));
}

const struct command command_completion = {
    .name = "completion",
    .arguments = "bash | zsh | fish",
    .min = 1,
    .max = 1,
    .run = run,
    .summary = "print what a shell completes commands and options by",
    .more = "For this shell alone, in bash: source <(jobwire completion bash)\n"
	    "make install and the package put these where shells look.\n",
    .is_always = true,
};
