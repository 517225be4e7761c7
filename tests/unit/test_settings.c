/* SPDX-License-Identifier: ISC */
/* Unit tests of conf/settings; how a table of them is read is test_opt.c. */
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/settings.h"

static char folder[] = "/tmp/jobwire-settings.XXXXXX";
static char file[64];
static struct settings settings;
static struct buf message;
static int arg_count;
static char arg_texts[3][128];

static void
write_file(const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

static int
set_up(void **state)
{
	(void)state;
	unlink(file);
	unsetenv("JOBWIRE_CONFIG");
	return 0;
}

static enum err
load_settings(enum program program, const char *flag)
{
	char *argv[] = {
	    strcpy(arg_texts[0], "program"), strcpy(arg_texts[1], flag), NULL};

	settings_done(&settings);
	buf_reset(&message);
	return settings_load(
	    &settings, program, NULL, 2, argv, &arg_count, &message);
}

static void
test_defaults(void **state)
{
	(void)state;
	write_file("");
	setenv("JOBWIRE_CONFIG", file, 1);
	assert_int_equal(load_settings(PROGRAM_EVENTS, "x"), OK);
	assert_int_equal(arg_count, 1);
	assert_string_equal(settings.config, file);
	assert_string_equal(settings.db, "/var/lib/jobwire/jobwire.db");
	assert_null(settings.socket);
	assert_string_equal(settings.socket_mode, "0660");
	assert_string_equal(settings.api_prefix, "/api/v1");
	assert_int_equal(settings.webhook_auth, WEBHOOK_AUTH_SIGNED);
	assert_int_equal(settings.inotify, INOTIFY_AUTO);
	assert_int_equal(settings.max_body, 32 << 20);
	assert_int_equal(settings.poll, 250);
	assert_int_equal(settings.lifetime, 3600000);
	assert_int_equal(settings.keep_days, 7);
}

/* Their file is above the folder that holds them, and where it is, relative
 * paths begin. */
static void
test_of_cgi_programs(void **state)
{
	char here[PATH_MAX], now[PATH_MAX], self[PATH_MAX] = "";

	(void)state;
	write_file("lag_timeout = 1s\nworkers = 9\nevents_drain = 1s\n");
	assert_non_null(getcwd(here, sizeof(here)));
	unsetenv("JOBWIRE_CONFIG");
	assert_int_equal(load_settings(PROGRAM_EVENTS_CGI, "x"), OK);
	assert_string_equal(settings.db, "jobwire-db/jobwire.db");
	assert_int_equal(settings.lifetime, 50000);
	assert_int_equal(settings.max_streams, 15);
	assert_int_equal(settings.poll, 100);
	assert_int_equal(settings.drain, 0);
	assert_non_null(getcwd(now, sizeof(now)));
	assert_int_equal(readlink("/proc/self/exe", self, sizeof(self)) > 0, 1);
	/* FLAVOUR/unit/test_settings */
	assert_memory_equal(self, now, strlen(now));
	assert_string_equal(self + strlen(now), "/unit/test_settings");
	setenv("JOBWIRE_CONFIG", file, 1);
	assert_int_equal(load_settings(PROGRAM_EVENTS_CGI, "x"), OK);
	assert_int_equal(settings.workers, 1);
	assert_int_equal(settings.drain, 1000);
	assert_non_null(getcwd(now, sizeof(now)));
	assert_string_equal(now, folder);
	assert_int_equal(chdir(here), 0);
}

static void
test_file_of_both_programs(void **state)
{
	char flag[96];

	(void)state;
	write_file("events_socket = /run/e\nwebhook_socket = /run/w\n"
		   "webhook_secret = s3cret\n");
	(void)snprintf(flag, sizeof(flag), "--config=%s", file);
	assert_int_equal(load_settings(PROGRAM_EVENTS, flag), OK);
	assert_string_equal(settings.socket, "/run/e");
	assert_null(settings.webhook_secret);
	assert_int_equal(load_settings(PROGRAM_WEBHOOK, flag), OK);
	assert_string_equal(settings.socket, "/run/w");
	assert_string_equal(settings.webhook_secret, "s3cret");
	assert_int_equal(load_settings(PROGRAM_TOOL, flag), OK);
	assert_null(settings.socket);
	write_file("socket = /run/s\n");
	assert_int_equal(load_settings(PROGRAM_WEBHOOK, flag), OK);
	assert_string_equal(settings.socket, "/run/s");
}

static void
test_rules(void **state)
{
	static const char *const bad[] = {"--retry-min=6s", "--retry-max=10ms",
	    "--api-prefix=", "--api-prefix=/", "--api-prefix=api",
	    "--api-prefix=/api/", "--db=", "--socket-mode=", "--socket-mode=9",
	    "--socket-mode=7777", "--socket-mode=0660x", "--json", "--config=x",
	    "--keep-days=0", "--workers=0"};
	static const char *const bad_urls[] = {
	    "--base-url=", "--base-url=example.com", "--base-url=http://a/",
	    "--base-url=ftp://a", "--base-url=https://"};
	static const struct {
		enum program program;
		const char *flag;
	} bad_of_one[] = {
	    {PROGRAM_RUNNER, "--runpod-url=http://example.org/v2"},
	    {PROGRAM_RUNNER, "--runpod-url=ftp://localhost"},
	    {PROGRAM_RUNNER, "--runpod-url=https://example.org/"},
	    {PROGRAM_RUNNER, "--runpod-url=https://user@example.org"},
	    {PROGRAM_RUNNER, "--runpod-url=http://127.0.0.1.example.org"},
	    {PROGRAM_RUNNER, "--runpod-key=a-key-on-the-command-line"},
	    {PROGRAM_WEBHOOK, "--start-auth=owner"},
	    {PROGRAM_RELAY, "--cluster-key=a{b"},
	    {PROGRAM_RELAY, "--cluster-key="},
	};
	size_t i;

	(void)state;
	write_file("");
	setenv("JOBWIRE_CONFIG", file, 1);
	for (i = 0; i < sizeof(bad_of_one) / sizeof(bad_of_one[0]); i++)
		assert_int_equal(
		    load_settings(bad_of_one[i].program, bad_of_one[i].flag),
		    ERR_PROTO);
	assert_int_equal(load_settings(PROGRAM_RUNNER,
			     "--runpod-url=http://127.0.0.1:8000/v2"),
	    OK);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_not_equal(load_settings(PROGRAM_EVENTS, bad[i]), OK);
	for (i = 0; i < sizeof(bad_urls) / sizeof(bad_urls[0]); i++)
		assert_int_not_equal(
		    load_settings(PROGRAM_WEBHOOK, bad_urls[i]), OK);
	assert_int_equal(load_settings(PROGRAM_EVENTS, "--retry-min=5s"), OK);
	assert_int_equal(load_settings(PROGRAM_TOOL, "--json"), OK);
	assert_true(settings.json);
}

/* settings_main() with its standard output and error in a file. */
static int
run_main(const char *flag, const char *second)
{
	char *argv[] = {strcpy(arg_texts[0], "program"),
	    strcpy(arg_texts[1], flag), strcpy(arg_texts[2], second), NULL};
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO), status;
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);

	settings_done(&settings);
	buf_reset(&message);
	fflush(stdout);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	status = settings_main(
	    &settings, PROGRAM_EVENTS, "Usage: x\n", NULL, 3, argv, &arg_count);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	buf_reserve(&message, 16384);
	message.data[pread(fd, message.data, 16383, 0)] = '\0';
	close(fd);
	return status;
}

static void
test_main(void **state)
{
	(void)state;
	assert_int_equal(run_main("--check", "arg"), -1);
	assert_string_equal(message.data, "");
	assert_true(settings.check);
	assert_int_equal(arg_count, 1);
	/* Asked for help, a broken setting is no obstacle. */
	assert_int_equal(run_main("--config=/nonexistent", "--help"), 0);
	assert_memory_equal(message.data, "Usage: x\n", 9);
	assert_non_null(strstr(message.data, "--retry-min TIME"));
	assert_null(strstr(message.data, "--webhook-secret"));
	assert_int_equal(run_main("--version", "x"), 0);
	assert_memory_equal(message.data, program_invocation_short_name,
	    strlen(program_invocation_short_name));
	assert_int_equal(run_main("--nonsense", "x"), 2);
	assert_non_null(strstr(message.data, ": --nonsense: unknown flag\n"));
	assert_int_equal(run_main("--config", "/nonexistent"), 2);
	assert_non_null(strstr(message.data, ": /nonexistent: No such file"));
	assert_int_equal(run_main("--check", "--"), -1);
	assert_int_equal(run_main("--", "--help"), -1);
}

static int
tear_down_all(void **state)
{
	(void)state;
	settings_done(&settings);
	buf_done(&message);
	unlink(file);
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_defaults, set_up),
	    cmocka_unit_test_setup(test_of_cgi_programs, set_up),
	    cmocka_unit_test_setup(test_file_of_both_programs, set_up),
	    cmocka_unit_test_setup(test_rules, set_up),
	    cmocka_unit_test_setup(test_main, set_up),
	};

	if (mkdtemp(folder) == NULL)
		return 1;
	(void)snprintf(file, sizeof(file), "%s/conf", folder);
	return cmocka_run_group_tests(tests, NULL, tear_down_all);
}
