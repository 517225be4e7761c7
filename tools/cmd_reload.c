/* SPDX-License-Identifier: ISC */
/*
 * jobwire reload: sends a signal to the programs that have the database open,
 * and says what each of them made of it. Who they are is read from /proc, so
 * that nobody has to keep files with process ids. Blocks up to 5 s.
 */
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "command.h"
#include "io/holders.h"
#include "io/reload_note.h"
#include "output.h"
#include "table.h"
#include "text/json_text.h"

enum {
	WAIT_MS = 5000,
	STEP_MS = 10,
	PROCESSES_MAX = 256,
	NAME_SIZE = 16, /* TASK_COMM_LEN */
};

static struct values {
	bool logs;
} values;

static const struct opt_def flags[] = {
    {COMMAND_FLAG(struct values, logs), .type = OPT_FLAG,
	.help = "only open log_file again, after it was moved away"},
    {.name = NULL},
};

/* As io/reload_note.h has them. */
static const char word_reloaded[] = "reloaded ", word_kept[] = "kept ";

/* Each does what docs/security.md says at SIGHUP and SIGUSR1; to any other
 * program these would be the end. */
static const char *const programs[] = {
    "jobwire-events", "jobwire-webhook", "jobwire-runner", "jobwire-relay"};

struct process {
	pid_t pid;
	char name[NAME_SIZE];
	bool is_hidden; /* what it has open, only root can see */
	bool is_told;
	struct buf said; /* empty: nothing */
};

struct crowd {
	struct process of[PROCESSES_MAX];
	size_t n;
};

/* --- Who they are --------------------------------------------------------- */

/* Is it one of our programs? Its name is what ps(1) shows. */
static bool
read_name(pid_t pid, char ret[NAME_SIZE])
{
	struct buf text = BUF_INIT;
	char path[40];
	bool is_ours = false;

	(void)snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
	if (file_read(path, 64, &text) == OK && text.len > 0) {
		text.data[--text.len] = '\0'; /* a line feed */
		for (size_t i = 0; i < sizeof(programs) / sizeof(*programs);
		     i++)
			is_ours =
			    is_ours || strcmp(text.data, programs[i]) == 0;
		(void)snprintf(ret, NAME_SIZE, "%s", text.data);
	}
	buf_done(&text);
	return is_ours;
}

static enum err
find_processes(const char *db_path, struct crowd *c)
{
	struct dirent *entry;
	struct stat file;
	DIR *folder;

	if (stat(db_path, &file) != 0)
		return ERR_NOENT;
	folder = opendir("/proc");
	if (folder == NULL)
		return ERR_SYS;
	while ((entry = readdir(folder)) != NULL && c->n < PROCESSES_MAX) {
		struct process *p = &c->of[c->n];

		*p = (struct process){
		    .pid = (pid_t)strtol(entry->d_name, NULL, 10)};
		if (p->pid > 0 && read_name(p->pid, p->name) &&
		    (holders_has_open(p->pid, &file, &p->is_hidden) ||
			p->is_hidden))
			c->n++;
	}
	(void)closedir(folder);
	return OK;
}

/* Workers are told by their parent, which has nothing open itself. */
static pid_t
whom_to_tell(const struct process *p)
{
	struct buf text = BUF_INIT;
	char path[40], name[NAME_SIZE];
	const char *at = NULL;
	long parent = 0;

	(void)snprintf(path, sizeof(path), "/proc/%ld/status", (long)p->pid);
	if (file_read(path, 65536, &text) == OK && text.len > 0)
		at = strstr(text.data, "\nPPid:");
	if (at != NULL)
		parent = strtol(at + strlen("\nPPid:"), NULL, 10);
	buf_done(&text);
	return parent > 1 && read_name((pid_t)parent, name) &&
		       strcmp(name, p->name) == 0
		   ? (pid_t)parent
		   : p->pid;
}

/* --- What they are told, and say ------------------------------------------ */

static void
tell(struct crowd *c, int number)
{
	pid_t told[PROCESSES_MAX] = {0};
	size_t n_told = 0;

	for (size_t i = 0; i < c->n; i++) {
		struct process *p = &c->of[i];
		pid_t pid = whom_to_tell(p);
		size_t k = 0;

		if (p->is_hidden)
			continue;
		while (k < n_told && told[k] != pid)
			k++;
		p->is_told = k < n_told || kill(pid, number) == 0;
		if (p->is_told && k == n_told)
			told[n_told++] = pid;
	}
}

/* What has it said of the settings? A parent of workers that keeps its own
 * speaks for these, which are not asked then. */
static bool
hear(const char *db_path, struct process *p)
{
	struct buf word = BUF_INIT;
	pid_t parent = whom_to_tell(p);

	if (reload_note_find(db_path, p->pid, &p->said))
		return true;
	if (parent != p->pid && reload_note_find(db_path, parent, &word) &&
	    strncmp(buf_span(&word).p, word_kept, strlen(word_kept)) == 0)
		buf_add_span(&p->said, buf_span(&word));
	buf_done(&word);
	return p->said.len > 0;
}

/* Waits until all have said what came of it. */
static void
wait_for_words(const char *db_path, struct crowd *c)
{
	const struct timespec step = {0, STEP_MS * 1000000L};
	int64_t end_us = clock_mono_us() + WAIT_MS * INT64_C(1000);
	size_t n_silent;

	do {
		n_silent = 0;
		for (size_t i = 0; i < c->n; i++) {
			struct process *p = &c->of[i];

			n_silent +=
			    p->is_told && p->said.len == 0 && !hear(db_path, p);
		}
		if (n_silent > 0)
			(void)nanosleep(&step, NULL);
	} while (n_silent > 0 && clock_mono_us() < end_us);
}

/* *ret_text: the names that need a restart, or why nothing changed. */
static bool
judge(const struct process *p, const char **ret_text)
{
	const char *said = buf_span(&p->said).p;
	size_t n = strlen(word_reloaded);

	if (p->said.len > 0 && strncmp(said, word_reloaded, n) == 0) {
		*ret_text = said + n;
		return true;
	}
	if (p->is_hidden)
		*ret_text = "of another user: run as root";
	else if (!p->is_told)
		*ret_text = "the signal was not allowed: run as root";
	else if (p->said.len == 0)
		*ret_text = values.logs ? "" : "no answer in 5 s";
	else
		*ret_text = said + strlen(word_kept);
	return values.logs && p->is_told;
}

static bool
print_process(const struct command_line *c, const struct process *p)
{
	struct buf out = BUF_INIT;
	const char *text = "";
	bool is_good = judge(p, &text);

	if (c->settings->json) {
		buf_addf(&out, "{\"program\":\"%s\",\"pid\":%ld,\"ok\":%s",
		    p->name, (long)p->pid, is_good ? "true" : "false");
		output_add_text(&out, is_good ? "needs_restart" : "error",
		    *text != '\0' ? text : NULL);
		buf_add_str(&out, "}");
		table_escape(&out);
	} else {
		buf_addf(&out, "%s %ld: %s", p->name, (long)p->pid,
		    !is_good	  ? "nothing changed: "
		    : values.logs ? "opens its log again"
				  : "reloaded");
		if (is_good && *text != '\0')
			buf_add_str(&out, "; needs a restart: ");
		table_add_clean(&out, span_of(text));
	}
	buf_add_char(&out, '\n');
	if (buf_ok(&out))
		(void)fwrite(out.data, 1, out.len, stdout);
	buf_done(&out);
	return is_good;
}

static int
say_all(const struct command_line *c, struct crowd *crowd)
{
	bool is_good = crowd->n > 0;

	for (size_t i = 0; i < crowd->n; i++) {
		is_good = print_process(c, &crowd->of[i]) && is_good;
		buf_done(&crowd->of[i].said);
	}
	if (crowd->n == 0)
		return command_fail("reload: no program has it open "
				    "(CGI programs need no reload)",
		    c->settings->db);
	return is_good ? EXIT_DONE : EXIT_FAILED;
}

static int
run(const struct command_line *c)
{
	const char *db = c->settings->db;
	struct crowd *crowd = calloc(1, sizeof(*crowd));
	enum err e = crowd == NULL ? ERR_NOMEM : find_processes(db, crowd);
	int status;

	if (e == OK && crowd->n > 0 && !values.logs)
		e = reload_note_begin(db);
	if (e == OK && crowd->n > 0) {
		tell(crowd, values.logs ? SIGUSR1 : SIGHUP);
		if (!values.logs) {
			wait_for_words(db, crowd);
			reload_note_end(db);
		}
	}
	if (e == ERR_NOENT)
		status = command_fail("reload: no database", db);
	else if (e != OK)
		status = command_fail(
		    "reload", e == ERR_SYS ? strerror(errno) : err_text(e));
	else
		status = say_all(c, crowd);
	free(crowd);
	return status;
}

const struct command command_reload = {
    .name = "reload",
    .arguments = "",
    .run = run,
    .summary = "have the running programs read settings and keys again",
    .more = "Those that have the database open, of all users when run as root. "
	    "Each\nsays whether it took the settings, and which of those that "
	    "have changed\nneed a restart. Where a setting or a key is bad, "
	    "nothing changes; status 1.\n",
    .flags = flags,
    .values = &values,
};
