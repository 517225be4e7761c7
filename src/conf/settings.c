/* SPDX-License-Identifier: ISC */
/*
 * The table of all settings and the rules between them. How a value is found
 * and parsed is opt.h; what `@FILE` in a secret means is auth's. Blocks on
 * the configuration file; for start-up only.
 */
#include "conf/settings.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "job/action.h"

#ifndef JOBWIRE_VERSION
#define JOBWIRE_VERSION "unknown"
#endif

#define FILE_NAME "jobwire.conf"
#define MEMBER(m) .name = #m, .offset = offsetof(struct settings, m)

enum {
	EVENTS = PROGRAM_EVENTS | PROGRAM_EVENTS_CGI,
	WEBHOOK = PROGRAM_WEBHOOK | PROGRAM_WEBHOOK_CGI,
	TOOL = PROGRAM_TOOL,
	CGI = PROGRAMS_CGI,
	DAEMONS = PROGRAM_EVENTS | PROGRAM_WEBHOOK,
	SERVERS = EVENTS | WEBHOOK,
	ALL = SERVERS | TOOL,
	RUNNER = PROGRAM_RUNNER,
	RELAY = PROGRAM_RELAY,
	EVERYONE = ALL | RUNNER | RELAY,

	SECOND = 1000,
	MINUTE = 60 * SECOND,
	HOUR = 60 * MINUTE,
	DAY = 24 * HOUR,
	KILO = 1024,
	MEGA = 1024 * KILO,
};

/* For opt_source, by the bits of enum program; the tool has no alias. */
static const char aliases[] = "events|webhook|-|events|webhook|runner|relay";

const struct opt_def settings_table[] = {
    {MEMBER(help), .type = OPT_FLAG, .programs = EVERYONE,
	.help = "show this text and exit"},
    {MEMBER(version), .type = OPT_FLAG, .programs = EVERYONE,
	.help = "show the version and exit"},
    {MEMBER(check), .type = OPT_FLAG, .programs = EVERYONE,
	.help = "check the settings, show them and exit"},
    {MEMBER(json), .type = OPT_FLAG, .programs = TOOL, .help = "print JSON"},
    {MEMBER(once), .type = OPT_FLAG, .programs = RUNNER,
	.help = "do what is due and exit, for cron"},
    {MEMBER(config), .type = OPT_STRING, .programs = EVERYONE,
	.metavar = "FILE",
	.help = "settings file, instead of the usual " FILE_NAME},
    {MEMBER(db), .type = OPT_STRING, .fallback = "/var/lib/jobwire/jobwire.db",
	.other_fallback = "jobwire-db/jobwire.db", .other_programs = CGI,
	.programs = EVERYONE, .metavar = "FILE",
	.help = "the database, alone in its folder"},
    {MEMBER(allow_remote), .type = OPT_CHOICE, .fallback = "off",
	.choices = "off|on", .programs = EVERYONE,
	.help = "write to a database on a network file system, too"},
    {MEMBER(socket), .type = OPT_STRING, .programs = DAEMONS,
	.metavar = "PATH|HOST:PORT",
	.help = "where to listen, unless started with a socket"},
    {MEMBER(socket_mode), .type = OPT_STRING, .fallback = "0660",
	.programs = DAEMONS, .metavar = "MODE",
	.help = "permissions of a Unix socket"},
    {MEMBER(workers), .type = OPT_INT, .fallback = "1", .min = 1, .max = 64,
	.programs = DAEMONS,
	.help = "processes or threads that share the work"},
    {MEMBER(api_prefix), .type = OPT_STRING, .fallback = "/api/v1",
	.programs = ALL | RUNNER, .metavar = "PATH",
	.help = "what every path begins with"},
    {MEMBER(base_url), .type = OPT_STRING, .fallback = "http://127.0.0.1:8080",
	.programs = WEBHOOK | TOOL | RUNNER, .metavar = "URL",
	.help = "scheme, host and port of the URLs given out"},
    {MEMBER(log_level), .type = OPT_CHOICE, .live = true, .fallback = "info",
	.choices = "error|warn|info", .programs = EVERYONE,
	.help = "least serious kind of line to log"},
    {MEMBER(log_file), .type = OPT_STRING, .programs = SERVERS | RUNNER | RELAY,
	.metavar = "PATH",
	.help = "where lines are logged instead of standard error"},
    {MEMBER(webhook_auth), .type = OPT_CHOICE, .fallback = "signed",
	.choices = "signed|none", .programs = WEBHOOK,
	.help = "none lets anybody report for any job"},
    {MEMBER(webhook_secret), .type = OPT_STRING, .live = true,
	.programs = WEBHOOK | TOOL | RUNNER, .secret = true,
	.metavar = "LIST|@FILE",
	.help = "keys of signed URLs; the first signs, all verify"},
    {MEMBER(publish_keys), .type = OPT_STRING, .live = true,
	.programs = WEBHOOK, .secret = true, .metavar = "LIST|@FILE",
	.help = "keys of those who register jobs and publish events"},
    {MEMBER(standard_secret), .type = OPT_STRING, .live = true,
	.programs = WEBHOOK, .secret = true, .metavar = "LIST|@FILE",
	.help = "secrets of Standard Webhooks, Replicate's among them"},
    {MEMBER(fal_jwks), .type = OPT_STRING, .live = true, .programs = WEBHOOK,
	.metavar = "FILE", .help = "public keys of fal.ai, as it gives them"},
    {MEMBER(runpod_actions), .type = OPT_STRING, .programs = WEBHOOK | RUNNER,
	.metavar = "NAME=ENDPOINT,...",
	.help = "what jobs can be started with, and RunPod's endpoint for it"},
    {MEMBER(runpod_key), .type = OPT_STRING, .live = true,
	.programs = RUNNER | TOOL, .secret = true, .metavar = "@FILE",
	.help = "RunPod's API key"},
    {MEMBER(runpod_url), .type = OPT_STRING,
	.fallback = "https://api.runpod.ai/v2", .programs = RUNNER | TOOL,
	.metavar = "URL", .help = "where RunPod's endpoints are"},
    {MEMBER(run_deadline), .type = OPT_DURATION, .fallback = "24h", .min = 10,
	.max = 7 * DAY, .programs = RUNNER,
	.help = "longest time from submission to result"},
    {MEMBER(reconcile_after), .type = OPT_DURATION, .fallback = "60s",
	.min = 10, .max = DAY, .programs = RUNNER,
	.help = "how long a webhook is waited for before RunPod is asked"},
    {MEMBER(submit_for), .type = OPT_DURATION, .fallback = "10m", .min = 10,
	.max = DAY, .programs = RUNNER,
	.help = "how long it is tried to reach RunPod with a job"},
    {MEMBER(unknown_for), .type = OPT_DURATION, .fallback = "15m", .min = 10,
	.max = 7 * DAY, .programs = RUNNER,
	.help = "how long a job that may have arrived is waited for"},
    {MEMBER(resubmit), .type = OPT_CHOICE, .fallback = "never",
	.choices = "never|always", .programs = RUNNER,
	.help = "always sends again what may have arrived, and pays twice"},
    {MEMBER(runner_rate), .type = OPT_INT, .fallback = "50", .min = 1,
	.max = 10000, .programs = RUNNER, .help = "calls of RunPod per second"},
    {MEMBER(runner_parallel), .type = OPT_INT, .fallback = "16", .min = 1,
	.max = 256, .programs = RUNNER, .help = "calls of RunPod at one time"},
    {MEMBER(runner_timeout), .type = OPT_DURATION, .fallback = "30s", .min = 10,
	.max = HOUR, .programs = RUNNER,
	.help = "longest wait for an answer of RunPod"},
    {MEMBER(start_auth), .type = OPT_CHOICE, .fallback = "key",
	.choices = "key|owner", .programs = WEBHOOK,
	.help = "who may start a job: who has a publish key, or who may read "
		"it as its owner"},
    {MEMBER(max_input), .type = OPT_SIZE, .fallback = "10m", .min = KILO,
	.max = 1024 * MEGA, .programs = WEBHOOK,
	.help = "longest request body that starts a job"},
    {MEMBER(max_body), .type = OPT_SIZE, .fallback = "32m", .min = KILO,
	.max = 1024 * MEGA, .programs = WEBHOOK,
	.help = "longest request body"},
    {MEMBER(max_bodies), .type = OPT_SIZE, .fallback = "1024m", .min = KILO,
	.max = INT64_C(1024) * 1024 * MEGA, .programs = SERVERS,
	.help = "bytes of all request bodies, and of answers that clients are "
		"slow to take, that are held at once"},
    {MEMBER(max_calls), .type = OPT_INT, .fallback = "4096", .min = 1,
	.max = 1000000, .programs = WEBHOOK,
	.help = "calls that may wait for their commit at once"},
    {MEMBER(inbox), .type = OPT_INT, .fallback = "500", .min = 0, .max = 10000,
	.programs = WEBHOOK,
	.help = "refused calls that are kept for `jobwire inbox`; 0: none"},
    {MEMBER(spool), .type = OPT_STRING, .fallback = "/var/tmp",
	.programs = SERVERS, .metavar = "FOLDER",
	.help = "where request bodies over 256 KiB are kept meanwhile"},
    {MEMBER(body_timeout), .type = OPT_DURATION, .fallback = "30s", .min = 10,
	.max = HOUR, .programs = SERVERS,
	.help = "longest wait for a request body"},
    {MEMBER(events_auth), .type = OPT_CHOICE, .fallback = "job-id",
	.choices = "job-id|jwt|ticket|server", .programs = SERVERS,
	.help = "who may read: whoever knows the id, bearers of tokens, of "
		"tickets too, or owners by REMOTE_USER"},
    {MEMBER(jwt_alg), .type = OPT_CHOICE, .fallback = "HS256",
	.choices = "HS256|RS256|ES256", .programs = ALL,
	.help = "the one algorithm of tokens"},
    {MEMBER(jwt_key), .type = OPT_STRING, .live = true, .programs = ALL,
	.secret = true, .metavar = "KEY|@FILE|KID=@FILE,...",
	.help = "secret (HS256) or public keys in PEM that tokens are checked "
		"with"},
    {MEMBER(jwt_issuer), .type = OPT_STRING, .programs = ALL, .metavar = "NAME",
	.help = "tokens must have this iss"},
    {MEMBER(jwt_audience), .type = OPT_STRING, .programs = ALL,
	.metavar = "NAME", .help = "tokens must have this aud"},
    {MEMBER(jwt_cookie), .type = OPT_STRING, .programs = SERVERS,
	.metavar = "NAME", .help = "cookie that may hold the token"},
    {.name = "auth_failures",
	.type = OPT_GONE,
	.programs = SERVERS,
	.help = "the web server limits requests, nginx by limit_req"},
    {MEMBER(max_tickets), .type = OPT_INT, .fallback = "1000", .min = 0,
	.max = 1000000, .programs = WEBHOOK,
	.help = "unused tickets that a subject may have; 0: no limit"},
    {MEMBER(cors_origins), .type = OPT_STRING, .programs = SERVERS,
	.metavar = "LIST",
	.help = "origins whose pages may read, separated by commas"},
    {MEMBER(cluster_wait), .type = OPT_DURATION, .fallback = "2s",
	.max = 30 * SECOND, .programs = ALL,
	.help = "in a cluster: how long a write waits for its place in the "
		"log, and a reader for what another node has told him"},
    {MEMBER(redis_url), .type = OPT_STRING, .programs = RELAY | TOOL,
	.secret = true, .metavar = "URL,...|@FILE",
	.help = "where the cluster's Redis is: redis://, rediss:// or unix:; "
		"several for a failover"},
    {MEMBER(node_id), .type = OPT_STRING, .programs = RELAY | TOOL,
	.metavar = "NAME", .help = "this node's name in the cluster"},
    {MEMBER(cluster_key), .type = OPT_STRING, .fallback = "jobwire",
	.programs = RELAY | TOOL, .metavar = "PREFIX",
	.help = "what the names of its keys in Redis begin with, in braces"},
    {MEMBER(cluster_ack), .type = OPT_CHOICE, .fallback = "local",
	.choices = "local|replica", .programs = RELAY,
	.help = "replica answers when a replica of Redis has it, too"},
    {MEMBER(heartbeat), .type = OPT_DURATION, .fallback = "15s", .min = 10,
	.max = HOUR, .programs = EVENTS,
	.help = "pause between signs of life on a silent stream"},
    {MEMBER(lifetime), .type = OPT_DURATION, .fallback = "1h",
	.other_fallback = "50s", .other_programs = CGI, .min = 10,
	.max = 7 * DAY, .programs = EVENTS,
	.help = "age at which a stream is ended, to be resumed"},
    {MEMBER(retry_min), .type = OPT_DURATION, .fallback = "1s", .min = 1,
	.max = HOUR, .programs = EVENTS,
	.help = "shortest wait of a client before it reconnects"},
    {MEMBER(retry_max), .type = OPT_DURATION, .fallback = "5s", .min = 1,
	.max = HOUR, .programs = EVENTS,
	.help = "longest wait of a client before it reconnects"},
    {MEMBER(max_streams), .type = OPT_INT, .fallback = "10000",
	.other_fallback = "15", .other_programs = CGI, .min = 1, .max = 1000000,
	.programs = EVENTS,
	.help = "open streams per process; of CGI programs, in all"},
    {MEMBER(lag_timeout), .type = OPT_DURATION, .fallback = "30s", .min = 10,
	.max = HOUR, .programs = SERVERS,
	.help = "how long a slow client may stay behind"},
    {MEMBER(drain), .type = OPT_DURATION, .fallback = "5s",
	.other_fallback = "0s", .other_programs = CGI, .min = 0, .max = HOUR,
	.programs = SERVERS,
	.help = "time over which open work is ended at a stop"},
    {MEMBER(inline_output), .type = OPT_SIZE, .fallback = "4096", .min = 0,
	.max = MEGA / 2, .programs = ALL | RUNNER,
	.help = "largest output that is sent in an event"},
    {MEMBER(keep_days), .type = OPT_INT, .fallback = "7", .min = 1,
	.max = 36500, .programs = ALL,
	.help = "days that finished jobs are kept"},
    {MEMBER(keep_progress), .type = OPT_INT, .fallback = "10", .min = 1,
	.max = 1000000, .programs = ALL,
	.help = "progress events kept per job"},
    {MEMBER(keep_events), .type = OPT_INT, .fallback = "1000", .min = 1,
	.max = 1000000, .programs = ALL, .help = "other events kept per job"},
    {MEMBER(checkpoint), .type = OPT_CHOICE, .fallback = "on",
	.choices = "on|off", .programs = SERVERS,
	.help = "off leaves the write-ahead log to another program"},
    {MEMBER(poll), .type = OPT_DURATION, .fallback = "250ms",
	.other_fallback = "100ms", .other_programs = CGI, .min = 1,
	.max = MINUTE, .programs = EVENTS | TOOL | RUNNER | RELAY,
	.help = "pause between looks that nothing asked for"},
    {MEMBER(inotify), .type = OPT_CHOICE, .fallback = "auto",
	.choices = "auto|off", .programs = EVENTS | TOOL | RUNNER | RELAY,
	.help = "off polls instead, every 25ms"},
    {MEMBER(hardening), .type = OPT_CHOICE, .fallback = "on",
	.choices = "on|off", .programs = DAEMONS | RUNNER | RELAY,
	.help = "give up system calls and files that are not needed"},
    {.name = NULL},
};

static bool
is_mode(const char *text)
{
	size_t n = strspn(text, "01234567");

	return n >= 3 && n <= 4 && text[n] == '\0' &&
	       strtoul(text, NULL, 8) <= 0777;
}

static bool
is_prefix(const char *text)
{
	size_t n = strlen(text);

	return n > 1 && text[0] == '/' && text[n - 1] != '/';
}

static bool
is_origin(const char *text)
{
	const char *host = strstr(text, "://");

	return host != NULL && host[3] != '\0' &&
	       strchr(host + 3, '/') == NULL &&
	       (strncmp(text, "http:", 5) == 0 ||
		   strncmp(text, "https:", 6) == 0);
}

/* The key goes there: what is not encrypted stays on this machine. */
static bool
is_provider_url(const char *text)
{
	const char *host = text + strlen("http://");
	size_t n;

	if (strpbrk(text, "?#@") != NULL || text[strlen(text) - 1] == '/')
		return false;
	if (strncmp(text, "https://", 8) == 0)
		return text[8] != '\0';
	if (strncmp(text, "http://", 7) != 0)
		return false;
	n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
	return (strncmp(host, "127.", 4) == 0 &&
		   strspn(host, "0123456789.") == n) ||
	       (n == 9 && strncmp(host, "localhost", n) == 0) ||
	       (n == 5 && strncmp(host, "[::1]", n) == 0);
}

/* What one value's type and range cannot say. NULL when all is well. */
/* What Redis hashes of a key ends at its first }. */
static bool
is_key_prefix(const char *text)
{
	size_t n = strlen(text);

	return n <= 64 && strcspn(text, "{}") == n &&
	       span_is_plain(span_of(text));
}

static const char *
broken_rule(const struct settings *s)
{
	if (s->db == NULL)
		return "db must not be empty";
	if (s->api_prefix == NULL || !is_prefix(s->api_prefix))
		return "api_prefix must begin with / and not end with it";
	if (s->base_url == NULL || !is_origin(s->base_url))
		return "base_url must be http(s)://HOST[:PORT] without a path";
	if (s->runpod_url != NULL && !is_provider_url(s->runpod_url))
		return "runpod_url must be https://, or http:// to this "
		       "machine, without / at its end";
	if (s->runpod_key != NULL && s->runpod_key[0] != '@')
		return "runpod_key must be @FILE";
	if (s->socket_mode == NULL || !is_mode(s->socket_mode))
		return "socket_mode must be an octal mode such as 0660";
	if (s->retry_min > s->retry_max)
		return "retry_min must not be larger than retry_max";
	if (s->start_auth == START_AUTH_OWNER &&
	    s->events_auth == EVENTS_AUTH_JOB_ID)
		return "start_auth = owner needs an events_auth other than "
		       "job-id, which knows no owners";
	if (s->cluster_key == NULL || !is_key_prefix(s->cluster_key))
		return "cluster_key must be 1 to 64 characters, none of them "
		       "{ or }";
	return action_list_fault(s->runpod_actions);
}

/* The settings file in the folder above the one that a file is in. Returns
 * owned; NULL without memory. */
static char *
file_above(const char *path)
{
	struct buf folder = BUF_INIT, above = BUF_INIT;

	file_add_folder(&folder, path);
	file_add_folder(&above, buf_span(&folder).p);
	above.failed = above.failed || !buf_ok(&folder);
	buf_done(&folder);
	buf_add_str(&above, "/" FILE_NAME);
	return buf_take(&above);
}

/* Where the settings are when nobody says so. Returns owned; NULL without
 * memory, or where /proc does not tell a CGI program its own place.
 *
 * Of ~/cgi-bin/events.cgi: ~. Where cgi-bin is in a folder that the web server
 * gives out, ~/public_html, the settings belong above that one; and suexec lets
 * no JOBWIRE_CONFIG through that could say so. */
static char *
default_file(enum program program)
{
	char self[PATH_MAX + 1] = "";
	char *file, *higher;

	if ((program & PROGRAMS_CGI) == 0)
		return strdup(SETTINGS_FILE);
	if (readlink("/proc/self/exe", self, PATH_MAX) <= 0)
		return NULL;
	file = file_above(self);
	if (file == NULL || access(file, F_OK) == 0)
		return file;
	higher = file_above(file);
	if (higher == NULL || access(higher, F_OK) != 0) {
		free(higher);
		return file;
	}
	free(file);
	return higher;
}

static bool
has_variables(void)
{
	for (char **e = environ; *e != NULL; e++)
		if (strncmp(*e, "JOBWIRE_", strlen("JOBWIRE_")) == 0)
			return true;
	return false;
}

/* Makes relative paths begin in the folder of a file. */
static enum err
enter_folder_of(const char *file, struct buf *message)
{
	struct buf path = BUF_INIT;
	enum err e;

	file_add_folder(&path, file);
	e = buf_ok(&path) ? OK : ERR_NOMEM;
	if (e == OK && chdir(path.data) != 0) {
		buf_addf(
		    message, "cannot enter %s: %s", path.data, strerror(errno));
		e = ERR_SYS;
	}
	buf_done(&path);
	return e;
}

bool
settings_is_cgi(enum program program)
{
	return (program & PROGRAMS_CGI) != 0 &&
	       getenv("GATEWAY_INTERFACE") != NULL;
}

/* What a web server puts on a CGI program's command line comes from the
 * client's query: RFC 3875, section 4.4. */
static int
own_argc(enum program program, int argc)
{
	return settings_is_cgi(program) ? 1 : argc;
}

enum err
settings_load(struct settings *s, enum program program,
    const struct opt_flags *flags, int argc, char **argv, int *ret_argc,
    struct buf *message)
{
	struct opt_source src = {.defs = settings_table,
	    .program = program,
	    .aliases = aliases,
	    .flags = flags};
	char *fallback = default_file(program);
	const char *named, *why;
	enum err e;

	*s = (struct settings){0};
	argc = own_argc(program, argc);
	named = opt_find_flag(&src, argc - 1, argv + 1, "config");
	if (named == NULL)
		named = getenv("JOBWIRE_CONFIG");
	src.file_required = named != NULL && named[0] != '\0';
	src.file = src.file_required ? named : fallback;
	if (src.file == NULL) {
		buf_add_str(
		    message, "no " FILE_NAME ": name it in JOBWIRE_CONFIG");
		return ERR_NOENT;
	}
	e = opt_load(&src, s, argc - 1, argv + 1, ret_argc, message);
	if (e == OK && s->config == NULL && access(src.file, F_OK) == 0 &&
	    (s->config = strdup(src.file)) == NULL)
		e = ERR_NOMEM;
	/* It would answer as if all were well, with a database of its own. */
	if (e == OK && s->config == NULL && settings_is_cgi(program) &&
	    !has_variables()) {
		buf_addf(message, "no %s, and none in the folder above it",
		    src.file);
		e = ERR_NOENT;
	}
	if (e == OK && message->len > 0)
		log_warn("setting_gone", "detail", message->data);
	if (e == OK)
		buf_reset(message);
	if (e == OK && (program & PROGRAMS_CGI) != 0)
		e = enter_folder_of(src.file, message);
	free(fallback);
	if (e != OK)
		return e;
	why = broken_rule(s);
	if (why != NULL) {
		buf_add_str(message, why);
		return ERR_PROTO;
	}
	return OK;
}

void
settings_done(struct settings *s)
{
	opt_done(settings_table, s);
}

static int
print_help(enum program program, const char *usage)
{
	struct buf flags = BUF_INIT;

	opt_help(settings_table, program, &flags);
	printf("%s%s", usage, buf_span(&flags).p);
	buf_done(&flags);
	return 0;
}

int
settings_main(struct settings *s, enum program program, const char *usage,
    const struct opt_flags *flags, int argc, char **argv, int *ret_argc)
{
	const struct opt_source src = {.defs = settings_table, .flags = flags};
	struct buf message = BUF_INIT;
	int status = -1;

	argc = own_argc(program, argc);
	*s = (struct settings){0};
	if (opt_find_flag(&src, argc - 1, argv + 1, "help") != NULL)
		return print_help(program, usage);
	if (opt_find_flag(&src, argc - 1, argv + 1, "version") != NULL) {
		printf(
		    "%s %s\n", program_invocation_short_name, JOBWIRE_VERSION);
		return 0;
	}
	if (settings_load(s, program, flags, argc, argv, ret_argc, &message) !=
	    OK) {
		fprintf(stderr, "%s: %s\n", program_invocation_short_name,
		    buf_span(&message).p);
		status = 2;
	} else if (s->log_file != NULL && !s->check &&
		   log_open(s->log_file) != OK) {
		fprintf(stderr, "%s: log_file: %s: %s\n",
		    program_invocation_short_name, s->log_file,
		    strerror(errno));
		status = 2;
	}
	log_set_level((enum log_level)s->log_level);
	buf_done(&message);
	return status;
}

int
settings_misuse(const char *usage)
{
	(void)fputs(usage, stderr);
	return 2;
}
