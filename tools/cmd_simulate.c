/* SPDX-License-Identifier: ISC */
/*
 * `jobwire simulate`: becomes the script that plays a provider, which is in
 * share/jobwire/simulate beside the folder of this program. What it does, and
 * its flags, are the script's.
 */
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

/* Appends the script's path; nothing, when nobody knows where we are. */
static void
add_script(struct buf *out)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self));

	/* Without the program's name, and without bin. */
	for (int i = 0; i < 2 && n > 0; i++)
		do
			n--;
		while (n > 0 && self[n] != '/');
	if (n > 0) {
		buf_add(out, self, (size_t)n);
		buf_add_str(out, "/share/jobwire/simulate/runpod.py");
	}
}

static int
run(const struct command_line *c)
{
	/* The words before the arguments, our names, make room. */
	char **argv = c->args - 2;
	struct buf path = BUF_INIT;
	int status;

	add_script(&path);
	if (!buf_ok(&path) || path.data == NULL) {
		status = command_fail("simulate", err_text(ERR_NOMEM));
	} else if (access(path.data, R_OK) != 0) {
		status = command_fail(path.data, strerror(errno));
	} else {
		argv[0] = (char *)(uintptr_t) "python3";
		argv[1] = path.data;
		(void)execvp(argv[0], argv);
		status = command_fail(argv[0], strerror(errno));
	}
	buf_done(&path);
	return status;
}

const struct command command_simulate = {
    .name = "simulate",
    .arguments = "runpod [FLAGS]",
    .min = 1,
    .max = INT_MAX,
    .run = run,
    .summary = "play RunPod, with all its bad days, for development",
    .more = "Needs Python. Its flags: jobwire simulate runpod --help\n",
    .is_other = true,
};
