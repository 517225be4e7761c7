/* SPDX-License-Identifier: ISC */
/*
 * Gives up what a program needs no more: by no_new_privs and Landlock other
 * files, by a seccomp filter other system calls. What can be taken away from
 * outside, users and capabilities above all, is in contrib/systemd. Blocks as
 * far as opening folders does; for the start only.
 *
 * The filter is a list of what is allowed. A call that is not on it answers
 * ENOSYS, as a kernel does that is too old for it: the C library then takes an
 * older call, so a newer library than ours works. Nothing is killed: a call
 * that we have overlooked shall cost one request, and not all streams.
 */
#include "app/harden.h"

#include <linux/landlock.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <seccomp.h>

#include "auth/crypto.h"
#include "auth/key_file.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metric.h"

/* What is on, for the metrics; a process is hardened once. */
static struct {
	long landlock; /* the kernel's version of it; 0: off */
	bool has_filter;
} state;

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#ifndef __has_feature
#define __has_feature(name) 0 /* gcc before 14 */
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer) ||       \
    defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
enum { IS_SANITIZED = 1 };
#else
enum { IS_SANITIZED = 0 };
#endif

/* --- System calls --------------------------------------------------------- */

/* libseccomp passes over what a processor does not have. */
static const int calls[] = {
    /* memory; for mmap and mprotect see below */
    SCMP_SYS(brk), SCMP_SYS(mremap), SCMP_SYS(munmap), SCMP_SYS(madvise),
    /* threads, and the workers that their parent forks */
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(futex),
    SCMP_SYS(membarrier), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getcpu), SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(getppid),
    SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
    SCMP_SYS(wait4), SCMP_SYS(exit), SCMP_SYS(exit_group),
    /* signals; restart_syscall goes on after a stop */
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait), SCMP_SYS(signalfd4), SCMP_SYS(kill),
    SCMP_SYS(tgkill), SCMP_SYS(restart_syscall),
    /* time, randomness, limits */
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(getrandom),
    SCMP_SYS(prlimit64), SCMP_SYS(getrusage), SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    /* files: SQLite, the bell, the janitor's lock, keys, bodies */
    SCMP_SYS(openat), SCMP_SYS(close), SCMP_SYS(read), SCMP_SYS(readv),
    SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwrite64),
    SCMP_SYS(lseek), SCMP_SYS(fcntl), SCMP_SYS(dup3), SCMP_SYS(pipe2),
    SCMP_SYS(flock), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate), SCMP_SYS(fchmod), SCMP_SYS(fchown), SCMP_SYS(fstat),
    SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(fstatfs), SCMP_SYS(statfs),
    SCMP_SYS(faccessat), SCMP_SYS(readlinkat), SCMP_SYS(unlinkat),
    SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(getcwd),
    /* the loop */
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2), SCMP_SYS(ppoll), SCMP_SYS(eventfd2),
    SCMP_SYS(inotify_init1), SCMP_SYS(inotify_add_watch),
    SCMP_SYS(inotify_rm_watch),
    /* connections that come: neither socket nor connect, bind or listen */
    SCMP_SYS(accept4), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto),
    SCMP_SYS(sendmsg), SCMP_SYS(shutdown), SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
    /* what x86 had before, and other machines never */
    SCMP_SYS(open), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(access),
    SCMP_SYS(readlink), SCMP_SYS(unlink), SCMP_SYS(rename), SCMP_SYS(poll),
    SCMP_SYS(epoll_wait), SCMP_SYS(time)};

/* Makes connections, and before that looks up names. */
static const int connecting_calls[] = {SCMP_SYS(socket), SCMP_SYS(socketpair),
    SCMP_SYS(connect), SCMP_SYS(sendmmsg)};

/* Allowed as long as the argument has none of these bits. */
static const struct limited_call {
	int call;
	unsigned argument; /* from 0 */
	uint32_t forbidden;
} limited_calls[] = {
    /* No memory that is code. */
    {SCMP_SYS(mmap), 2, PROT_EXEC},
    {SCMP_SYS(mprotect), 2, PROT_EXEC},
    /* Threads, and the workers that their parent forks. Not clone3: its flags
     * are out of a filter's sight, and the C library can do without. */
    {SCMP_SYS(clone), 0,
	CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
	    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET},
    {SCMP_SYS(prctl), 0, ~(uint32_t)PR_SET_PDEATHSIG},
};

static int
add_calls(scmp_filter_ctx filter, const int *list, size_t n)
{
	int e = 0;

	for (size_t i = 0; i < n && e == 0; i++)
		e = seccomp_rule_add(filter, SCMP_ACT_ALLOW, list[i], 0);
	return e;
}

static int
add_limited_calls(scmp_filter_ctx filter)
{
	int e = 0;

	for (size_t i = 0; i < COUNT(limited_calls) && e == 0; i++) {
		const struct limited_call *c = &limited_calls[i];

		e = seccomp_rule_add(filter, SCMP_ACT_ALLOW, c->call, 1,
		    SCMP_CMP32(
			c->argument, SCMP_CMP_MASKED_EQ, c->forbidden, 0));
	}
	return e;
}

/* Returns NULL, or why there is no filter. */
static const char *
filter_calls(enum harden_network network)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int e = filter == NULL ? -ENOMEM : 0;

	if (e == 0)
		e = seccomp_attr_set(
		    filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (e == 0)
		e = add_calls(filter, calls, COUNT(calls));
	if (e == 0 && network == HARDEN_CONNECTS)
		e = add_calls(
		    filter, connecting_calls, COUNT(connecting_calls));
	if (e == 0)
		e = add_limited_calls(filter);
	if (e == 0)
		e = seccomp_load(filter);
	seccomp_release(filter);
	return e == 0 ? NULL : "the kernel takes no filter";
}

/* --- Files ---------------------------------------------------------------- */

/* landlock_ruleset_attr as it is since Linux 6.12; headers may be older, and an
 * older kernel takes it while what it does not know is 0. */
struct ruleset {
	uint64_t files, ports, scopes;
};

enum {
	BIND_PORTS = 1, /* of TCP */
	CONNECT_PORTS = 2,
	ALL_SCOPES = 3,		/* abstract sockets and processes of others */
	MAY_TRUNCATE = 1 << 14, /* LANDLOCK_ACCESS_FS_TRUNCATE, Linux 6.2 */
	MAY_READ = LANDLOCK_ACCESS_FS_READ_FILE,
	MAY_USE = MAY_READ | LANDLOCK_ACCESS_FS_WRITE_FILE,
	MAY_MAKE = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG,
	/* SQLite opens the folder itself, too, to have its entries on disk. */
	MAY_KEEP_FILES = MAY_USE | LANDLOCK_ACCESS_FS_READ_DIR |
			 LANDLOCK_ACCESS_FS_MAKE_REG |
			 LANDLOCK_ACCESS_FS_REMOVE_FILE | MAY_TRUNCATE,
};

struct fence {
	int fd;		      /* of the ruleset */
	struct ruleset taken; /* what it takes away but where it is allowed */
	const char *why;      /* it cannot be put up; NULL: it can */
};

/* Everything that a kernel of that version can take away, but for
 * connections that shall be made. */
static struct ruleset
all_rights(long version, enum harden_network network)
{
	int n_files = version < 2   ? 13
		      : version < 3 ? 14
		      : version < 5 ? 15
				    : 16;

	return (struct ruleset){
	    .files = (UINT64_C(1) << n_files) - 1,
	    .ports = version < 4		  ? 0
		     : network == HARDEN_CONNECTS ? BIND_PORTS
						  : BIND_PORTS | CONNECT_PORTS,
	    .scopes = version < 6 ? 0 : ALL_SCOPES,
	};
}

/* A path that leads nowhere now needs no rule. */
static void
allow(struct fence *f, const char *path, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = {
	    .allowed_access = rights & f->taken.files};

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd == -1)
		return;
	if (syscall(__NR_landlock_add_rule, f->fd, LANDLOCK_RULE_PATH_BENEATH,
		&rule, 0) != 0)
		f->why = strerror(errno);
	(void)close(rule.parent_fd);
}

static void
allow_folder(struct fence *f, const char *path, uint64_t rights)
{
	struct buf folder = BUF_INIT;

	file_add_folder(&folder, path);
	if (buf_ok(&folder))
		allow(f, folder.data, rights);
	else
		f->why = err_text(ERR_NOMEM);
	buf_done(&folder);
}

/* In the folder of a file, so that the file may be replaced; and where it is a
 * symbolic link, in that of the file which it leads to now. */
static void
allow_file(struct fence *f, const char *path, uint64_t rights)
{
	char *target = realpath(path, NULL);

	allow_folder(f, path, rights);
	if (target != NULL)
		allow_folder(f, target, rights);
	free(target);
}

static void
allow_key_file(void *arg, const char *path)
{
	allow_file(arg, path, MAY_READ);
}

static void
allow_what_is_ours(struct fence *f, const struct settings *s)
{
	allow_file(f, s->db, MAY_KEEP_FILES);
	if (s->spool != NULL)
		allow(f, s->spool, MAY_KEEP_FILES);
	for (const struct opt_def *d = settings_table; d->name != NULL; d++) {
		const char *const *value =
		    (const char *const *)(const void *)((const char *)s +
							d->offset);

		if (d->secret && *value != NULL &&
		    key_file_each(*value, allow_key_file, f) != OK)
			f->why = err_text(ERR_NOMEM);
	}
	if (s->fal_jwks != NULL)
		allow_file(f, s->fal_jwks, MAY_READ);
	if (s->config != NULL)
		allow_file(f, s->config, MAY_READ);
	if (s->log_file != NULL)
		allow_file(f, s->log_file, MAY_MAKE);
	allow(f, "/dev/null", MAY_USE);
	allow(f, "/dev/urandom", MAY_READ); /* SQLite's seed */
}

/* Where names and the certificates to trust are: the files there come and go,
 * and lead to each other. Secrets in /etc are kept by their modes. */
static void
allow_what_connects(struct fence *f)
{
	static const char *const folders[] = {"/etc", "/run/systemd/resolve",
	    "/run/resolvconf", "/run/NetworkManager",
	    "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
	    "/usr/share/pki", "/usr/lib/ssl", "/var/lib/ca-certificates"};

	const char *authorities = getenv("SSL_CERT_FILE"); /* for http_client */

	for (size_t i = 0; i < COUNT(folders); i++)
		allow(f, folders[i], MAY_READ | LANDLOCK_ACCESS_FS_READ_DIR);
	if (authorities != NULL)
		allow_file(f, authorities, MAY_READ);
}

/* Returns NULL, or why there is no fence. */
static const char *
fence_files(const struct settings *s, enum harden_network network)
{
	struct fence f = {.fd = -1};
	long version = syscall(__NR_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);

	if (version > 0) {
		f.taken = all_rights(version, network);
		f.fd = (int)syscall(
		    __NR_landlock_create_ruleset, &f.taken, sizeof(f.taken), 0);
	}
	if (f.fd == -1)
		return strerror(errno);
	allow_what_is_ours(&f, s);
	if (network == HARDEN_CONNECTS)
		allow_what_connects(&f);
	if (f.why == NULL && syscall(__NR_landlock_restrict_self, f.fd, 0) != 0)
		f.why = strerror(errno);
	if (f.why == NULL)
		state.landlock = version;
	(void)close(f.fd);
	return f.why;
}

/* --- All of it ------------------------------------------------------------ */

/* Keys are in memory. A limit of 0 for cores would not do: one that is piped
 * to a program, as on most systems, has no limit. */
static void
empty_cores(void)
{
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

	if (fd == -1)
		return;
	if (write(fd, "0", 1) == -1) {
		/* A kernel without cores. */
	}
	(void)close(fd);
}

void
harden_apply(const struct settings *s, enum harden_network network)
{
	const char *no_fence, *no_filter;

	if (IS_SANITIZED) {
		log_info("not_hardened", "reason", "built with sanitizers");
		return;
	}
	crypto_prepare();
	empty_cores();
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	no_fence = fence_files(s, network);
	no_filter = filter_calls(network);
	state.has_filter = no_filter == NULL;
	log_info("hardened", "landlock", no_fence == NULL ? "on" : no_fence,
	    "seccomp", no_filter == NULL ? "on" : no_filter);
}

void
harden_add_metrics(struct buf *out, const char *program)
{
	struct buf name = BUF_INIT;

	buf_addf(&name, "%s_hardening_version", program);
	if (buf_ok(&name)) {
		metric_head(out, name.data, "gauge",
		    "What the program has given up: Landlock's version, and 1 "
		    "for a seccomp filter; 0: not on.");
		buf_addf(out,
		    "jobwire_%s{part=\"landlock\"} %ld\n"
		    "jobwire_%s{part=\"seccomp\"} %d\n",
		    name.data, state.landlock, name.data, state.has_filter);
	}
	out->failed = out->failed || !buf_ok(&name);
	buf_done(&name);
}
