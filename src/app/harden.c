/* SPDX-License-Identifier: ISC */
/*
 * Gives up what a responder needs no more: by no_new_privs and Landlock other
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

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/crypto.h"
#include "base/file.h"
#include "base/log.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Little-endian, 64 bits: argument_offset() relies on it. */
#if defined(__x86_64__) && !defined(__ILP32__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && !defined(__ILP32__) && !defined(__AARCH64EB__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#endif

#ifndef __has_feature
#define __has_feature(name) 0 /* gcc before 14 */
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer) ||       \
    defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
enum { IS_SANITIZED = 1 };
#else
enum { IS_SANITIZED = 0 };
#endif

/* --- system calls -------------------------------------------------------- */

#ifdef ARCHITECTURE
enum {
	NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
		     CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET,
};

/* Allowed, unless the argument has one of the forbidden bits: then EPERM. */
struct call {
	int number;
	uint32_t forbidden;
	unsigned argument; /* from 0 */
};

static const struct call calls[] = {
    /* memory: none that is code */
    {.number = __NR_brk},
    {__NR_mmap, PROT_EXEC, 2},
    {__NR_mprotect, PROT_EXEC, 2},
    {.number = __NR_mremap},
    {.number = __NR_munmap},
    {.number = __NR_madvise},
    /* threads, and the workers that their parent forks. Not clone3: its flags
     * are out of a filter's sight, and the C library can do without. */
    {__NR_clone, NAMESPACES, 0},
    {.number = __NR_set_robust_list},
    {.number = __NR_rseq},
    {.number = __NR_futex},
    {.number = __NR_membarrier},
    {.number = __NR_sched_yield},
    {.number = __NR_sched_getaffinity},
    {.number = __NR_getcpu},
    {.number = __NR_gettid},
    {.number = __NR_getpid},
    {.number = __NR_getppid},
    {.number = __NR_getuid},
    {.number = __NR_geteuid},
    {.number = __NR_getgid},
    {.number = __NR_getegid},
    {.number = __NR_wait4},
    {__NR_prctl, ~(uint32_t)PR_SET_PDEATHSIG, 0},
    {.number = __NR_exit},
    {.number = __NR_exit_group},
    /* signals; restart_syscall goes on after a stop */
    {.number = __NR_rt_sigaction},
    {.number = __NR_rt_sigprocmask},
    {.number = __NR_rt_sigreturn},
    {.number = __NR_rt_sigtimedwait},
    {.number = __NR_signalfd4},
    {.number = __NR_kill},
    {.number = __NR_tgkill},
    {.number = __NR_restart_syscall},
    /* time, randomness, limits */
    {.number = __NR_clock_gettime},
    {.number = __NR_clock_getres},
    {.number = __NR_clock_nanosleep},
    {.number = __NR_nanosleep},
    {.number = __NR_gettimeofday},
    {.number = __NR_getrandom},
    {.number = __NR_prlimit64},
    {.number = __NR_getrusage},
    {.number = __NR_sysinfo},
    {.number = __NR_uname},
    /* files: SQLite, the bell, the janitor's lock, keys, bodies */
    {.number = __NR_openat},
    {.number = __NR_close},
    {.number = __NR_read},
    {.number = __NR_readv},
    {.number = __NR_pread64},
    {.number = __NR_write},
    {.number = __NR_writev},
    {.number = __NR_pwrite64},
    {.number = __NR_lseek},
    {.number = __NR_fcntl},
    {.number = __NR_pipe2},
    {.number = __NR_flock},
    {.number = __NR_fsync},
    {.number = __NR_fdatasync},
    {.number = __NR_ftruncate},
    {.number = __NR_fallocate},
    {.number = __NR_fchmod},
    {.number = __NR_fchown},
    {.number = __NR_fstat},
    {.number = __NR_newfstatat},
    {.number = __NR_statx},
    {.number = __NR_fstatfs},
    {.number = __NR_statfs},
    {.number = __NR_faccessat},
    {.number = __NR_readlinkat},
    {.number = __NR_unlinkat},
    {.number = __NR_getcwd},
    /* the loop */
    {.number = __NR_epoll_create1},
    {.number = __NR_epoll_ctl},
    {.number = __NR_epoll_pwait},
    {.number = __NR_epoll_pwait2},
    {.number = __NR_ppoll},
    {.number = __NR_eventfd2},
    {.number = __NR_inotify_init1},
    {.number = __NR_inotify_add_watch},
    {.number = __NR_inotify_rm_watch},
    /* connections that come: neither socket nor connect, bind or listen */
    {.number = __NR_accept4},
    {.number = __NR_recvfrom},
    {.number = __NR_recvmsg},
    {.number = __NR_sendto},
    {.number = __NR_sendmsg},
    {.number = __NR_shutdown},
    {.number = __NR_getsockopt},
    {.number = __NR_setsockopt},
    {.number = __NR_getsockname},
    {.number = __NR_getpeername},
#ifdef __NR_open /* the older ones of x86, which younger machines left out */
    {.number = __NR_open},
    {.number = __NR_stat},
    {.number = __NR_lstat},
    {.number = __NR_access},
    {.number = __NR_readlink},
    {.number = __NR_unlink},
    {.number = __NR_poll},
    {.number = __NR_epoll_wait},
    {.number = __NR_time},
#endif
};

static struct sock_filter
load(size_t offset)
{
	return (struct sock_filter)BPF_STMT(
	    BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

static struct sock_filter
jump(unsigned test, uint32_t value, unsigned char yes, unsigned char no)
{
	return (struct sock_filter)BPF_JUMP(
	    (unsigned short)(BPF_JMP | BPF_K | test), value, yes, no);
}

/* The program's end: with 0 the call is made. */
static struct sock_filter
answer(int error)
{
	return (struct sock_filter)BPF_STMT(
	    BPF_RET | BPF_K, error == 0 ? SECCOMP_RET_ALLOW
					: SECCOMP_RET_ERRNO | (uint32_t)error);
}

/* Of an argument the lower half, where all flags that we look at are. */
static size_t
argument_offset(unsigned argument)
{
	return offsetof(struct seccomp_data, args) + argument * sizeof(__u64);
}

/* Appends at most 5 steps, which leave alone all other calls. */
static struct sock_filter *
add_call(struct sock_filter *p, const struct call *c)
{
	const uint32_t number = (uint32_t)c->number;

	if (c->forbidden == 0) {
		*p++ = jump(BPF_JEQ, number, 0, 1);
	} else {
		*p++ = jump(BPF_JEQ, number, 0, 4);
		*p++ = load(argument_offset(c->argument));
		*p++ = jump(BPF_JSET, c->forbidden, 0, 1);
		*p++ = answer(EPERM);
	}
	*p++ = answer(0);
	return p;
}

/* Returns NULL, or why there is no filter. */
static const char *
filter_calls(void)
{
	struct sock_filter program[5 + 5 * COUNT(calls)], *p = program;
	struct sock_fprog all = {.filter = program};

	*p++ = load(offsetof(struct seccomp_data, arch));
	*p++ = jump(BPF_JEQ, ARCHITECTURE, 1, 0);
	*p++ = answer(ENOSYS);
	*p++ = load(offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < COUNT(calls); i++)
		p = add_call(p, &calls[i]);
	*p++ = answer(ENOSYS);
	all.len = (unsigned short)(p - program);
	if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &all) != 0)
		return strerror(errno);
	return NULL;
}
#else
static const char *
filter_calls(void)
{
	return "no list for this processor";
}
#endif

/* --- files --------------------------------------------------------------- */

/* landlock_ruleset_attr as it is since Linux 6.12; headers may be older, and an
 * older kernel takes it while what it does not know is 0. */
struct ruleset {
	uint64_t files, ports, scopes;
};

enum {
	ALL_PORTS = 3,		/* bind and connect of TCP */
	ALL_SCOPES = 3,		/* abstract sockets and processes of others */
	MAY_TRUNCATE = 1 << 14, /* LANDLOCK_ACCESS_FS_TRUNCATE, Linux 6.2 */
	MAY_READ = LANDLOCK_ACCESS_FS_READ_FILE,
	MAY_USE = MAY_READ | LANDLOCK_ACCESS_FS_WRITE_FILE,
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

/* Everything that a kernel of that version can take away. */
static struct ruleset
all_rights(long version)
{
	int n_files = version < 2   ? 13
		      : version < 3 ? 14
		      : version < 5 ? 15
				    : 16;

	return (struct ruleset){
	    .files = (UINT64_C(1) << n_files) - 1,
	    .ports = version < 4 ? 0 : ALL_PORTS,
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

/* `@FILE` or `name=@FILE,name=@FILE`; anything else is no file. */
static void
allow_secret(struct fence *f, const char *value)
{
	if (value[0] == '@') {
		allow_file(f, value + 1, MAY_READ);
		return;
	}
	while ((value = strstr(value, "=@")) != NULL) {
		char *path = strndup(value + 2, strcspn(value + 2, ","));

		if (path == NULL)
			f->why = err_text(ERR_NOMEM);
		else
			allow_file(f, path, MAY_READ);
		free(path);
		value += 2;
	}
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

		if (d->secret && *value != NULL)
			allow_secret(f, *value);
	}
	if (s->fal_jwks != NULL)
		allow_file(f, s->fal_jwks, MAY_READ);
	if (s->config != NULL)
		allow_file(f, s->config, MAY_READ);
	allow(f, "/dev/null", MAY_USE);
	allow(f, "/dev/urandom", MAY_READ); /* SQLite's seed */
}

/* Returns NULL, or why there is no fence. */
static const char *
fence_files(const struct settings *s)
{
	struct fence f = {.fd = -1};
	long version = syscall(__NR_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);

	if (version > 0) {
		f.taken = all_rights(version);
		f.fd = (int)syscall(
		    __NR_landlock_create_ruleset, &f.taken, sizeof(f.taken), 0);
	}
	if (f.fd == -1)
		return strerror(errno);
	allow_what_is_ours(&f, s);
	if (f.why == NULL && syscall(__NR_landlock_restrict_self, f.fd, 0) != 0)
		f.why = strerror(errno);
	(void)close(f.fd);
	return f.why;
}

/* --- all of it ----------------------------------------------------------- */

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
harden_apply(const struct settings *s)
{
	const char *no_fence, *no_filter;

	if (IS_SANITIZED) {
		log_info("not_hardened", "reason", "built with sanitizers");
		return;
	}
	crypto_prepare();
	empty_cores();
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	no_fence = fence_files(s);
	no_filter = filter_calls();
	log_info("hardened", "landlock", no_fence == NULL ? "on" : no_fence,
	    "seccomp", no_filter == NULL ? "on" : no_filter);
}
