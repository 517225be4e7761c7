/* SPDX-License-Identifier: ISC */
/*
 * Unit tests of app/harden: what is taken away is tried in a child each, since
 * there is no way back. That the programs still work is what the integration
 * tests show.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/harden.h"
#include "base/file.h"
#include "base/log.h"
#include "store/db.h"

static char root[] = "/tmp/jobwire-harden.XXXXXX";
static char db[64], spool[64], key[64], named[160], jwks[64], outside[64];
static char port[8];
static struct settings settings = {.db = db,
    .spool = spool,
    .webhook_secret = named,
    .jwt_key = named,
    .fal_jwks = jwks};

/* An errno, 0 for success. */
typedef int trial(void);

static int
result(long returned)
{
	return returned == -1 ? errno : 0;
}

/* What the trial gives in a process that has been hardened. */
static int
tried_with(enum harden_network network, trial *try)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		log_set_level(LOG_LEVEL_ERROR);
		harden_apply(&settings, network);
		_exit(try());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
tried(trial *try)
{
	return tried_with(HARDEN_ANSWERS, try);
}

/* What a child logs that runs `before` and then is hardened. */
static void
read_log(void (*before)(void), char *ret, size_t size)
{
	int ends[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], STDERR_FILENO);
		if (before != NULL)
			before();
		harden_apply(&settings, HARDEN_ANSWERS);
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	n = read(ends[0], ret, size - 1);
	assert_true(n > 0);
	ret[n] = '\0';
	close(ends[0]);
}

static bool
logs(const char *text)
{
	char line[512];

	read_log(NULL, line, sizeof(line));
	return strstr(line, text) != NULL;
}

static int
try_open(const char *path, int flags)
{
	return result(open(path, flags, 0600));
}

/* --- System calls --------------------------------------------------------- */

static long call_number;

/* What its arguments would have to be does not matter: it is not looked at. */
static int
try_call(void)
{
	return result(syscall(call_number, 0L, 0L, 0L, 0L));
}

static void
assert_no_calls(enum harden_network network, const long *numbers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		call_number = numbers[i];
		assert_int_equal(tried_with(network, try_call), ENOSYS);
	}
}

static int
try_unix_socket(void)
{
	return result(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int
try_new_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int
try_data_as_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? 1 : result(mprotect(p, 4096, PROT_EXEC));
}

static int
try_user_namespace(void)
{
	return result(
	    syscall(__NR_clone, 0x10000000 | SIGCHLD, NULL, NULL, NULL, NULL));
}

static int
try_privileges_again(void)
{
	return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static void
test_calls_that_are_not_there(void **state)
{
	enum { IO_URING_SETUP = 425 };
	static const long numbers[] = {__NR_execve, __NR_execveat, __NR_socket,
	    __NR_connect, __NR_bind, __NR_listen, __NR_ptrace,
	    __NR_process_vm_readv, __NR_mount, __NR_unshare, __NR_clone3,
	    IO_URING_SETUP, __NR_bpf, __NR_ioctl};
	static trial *const trials[] = {try_new_code, try_data_as_code,
	    try_user_namespace, try_privileges_again};

	(void)state;
	assert_no_calls(
	    HARDEN_ANSWERS, numbers, sizeof(numbers) / sizeof(numbers[0]));
	for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++)
		assert_int_equal(tried(trials[i]), ENOSYS);
}

/* By name, as a client of some service does. */
static int
try_call_by_name(void)
{
	struct addrinfo want = {
	    .ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	int fd, e = 1;

	if (getaddrinfo("localhost", port, &want, &found) != 0)
		return 2;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd != -1)
		e = result(connect(fd, found->ai_addr, found->ai_addrlen));
	freeaddrinfo(found);
	return e;
}

/* jobwire-runner: it may do this, and no more. */
static void
test_a_program_that_connects(void **state)
{
	static const long numbers[] = {
	    __NR_bind, __NR_listen, __NR_execve, __NR_ptrace, __NR_ioctl};
	struct sockaddr_in at = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, size), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	(void)snprintf(port, sizeof(port), "%u", ntohs(at.sin_port));
	assert_int_equal(tried_with(HARDEN_CONNECTS, try_call_by_name), 0);
	assert_no_calls(
	    HARDEN_CONNECTS, numbers, sizeof(numbers) / sizeof(numbers[0]));
	assert_int_equal(tried_with(HARDEN_CONNECTS, try_new_code), ENOSYS);
	assert_int_equal(close(fd), 0);
}

static void *
run_thread(void *arg)
{
	return arg;
}

/* A worker's child inherits all of it. */
static int
try_threads_and_workers(void)
{
	int status = -1;
	pthread_t thread;
	pid_t pid;

	if (pthread_create(&thread, NULL, run_thread, NULL) != 0 ||
	    pthread_join(thread, NULL) != 0)
		return 1;
	pid = fork();
	if (pid == 0)
		_exit(prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 &&
			      try_unix_socket() == ENOSYS
			  ? 0
			  : 2);
	if (pid == -1 || kill(pid, 0) != 0 || waitpid(pid, &status, 0) != pid)
		return 3;
	return status;
}

static void
test_threads_and_workers(void **state)
{
	(void)state;
	assert_int_equal(tried(try_threads_and_workers), 0);
}

/* --- Files ---------------------------------------------------------------- */

static bool
lacks_landlock(void)
{
	if (logs("landlock=on"))
		return false;
	print_message("skipped: this kernel has no Landlock\n");
	return true;
}

static int
try_reading_outside(void)
{
	return try_open(outside, O_RDONLY);
}

static int
try_writing_outside(void)
{
	return try_open(outside, O_WRONLY);
}

static int
try_creating_outside(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/new", root);
	return try_open(path, O_WRONLY | O_CREAT);
}

static int
try_removing_outside(void)
{
	return result(unlink(outside));
}

/* Made in the database's folder before; where it leads counts. */
static int
try_a_link_outside(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s-link", db);
	return try_open(path, O_RDONLY);
}

static int
try_environment(void)
{
	return try_open("/proc/self/environ", O_RDONLY);
}

static int
try_writing_a_key(void)
{
	return try_open(key, O_WRONLY);
}

static int
try_a_folder_of_keys(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/keys", root);
	return try_open(path, O_RDONLY | O_DIRECTORY);
}

static void
test_files_out_of_reach(void **state)
{
	(void)state;
	if (lacks_landlock())
		skip();
	assert_int_equal(tried(try_reading_outside), EACCES);
	assert_int_equal(tried(try_writing_outside), EACCES);
	assert_int_equal(tried(try_creating_outside), EACCES);
	assert_int_equal(tried(try_removing_outside), EACCES);
	assert_int_equal(tried(try_a_link_outside), EACCES);
	assert_int_equal(tried(try_environment), EACCES);
	assert_int_equal(tried(try_writing_a_key), EACCES);
	assert_int_equal(tried(try_a_folder_of_keys), EACCES);
}

static int
try_database(void)
{
	struct db *conn = NULL;
	char path[80];
	int fd;

	if (db_open(db, DB_WRITE, 1000, &conn, NULL) != OK ||
	    db_begin(conn) != OK || db_commit(conn) != OK)
		return 1;
	db_close(&conn);
	snprintf(path, sizeof(path), "%s-new", db);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	return fd != -1 && ftruncate(fd, 9) == 0 && unlink(path) == 0 ? 0 : 2;
}

static int
try_spool(void)
{
	int fd = open(spool, O_TMPFILE | O_RDWR, 0600);

	return fd != -1 && write(fd, "x", 1) == 1 ? 0 : 1;
}

static int
try_reading_keys(void)
{
	struct buf text = BUF_INIT;

	if (file_read(key, 100, &text) != OK ||
	    file_read(jwks, 100, &text) != OK)
		return 1;
	buf_done(&text);
	return try_open("/dev/null", O_RDWR) |
	       try_open("/dev/urandom", O_RDONLY);
}

static void
test_our_files(void **state)
{
	(void)state;
	assert_int_equal(tried(try_database), 0);
	assert_int_equal(tried(try_spool), 0);
	assert_int_equal(tried(try_reading_keys), 0);
}

/* `name=@FILE`, `@FILE`, and a secret that looks like neither. */
static void
test_names_of_key_files(void **state)
{
	(void)state;
	snprintf(named, sizeof(named), "a=@%s,b=@/nonexistent", key);
	assert_int_equal(tried(try_reading_keys), 0);
	snprintf(named, sizeof(named), "b=@/nonexistent,a=@%s", key);
	assert_int_equal(tried(try_reading_keys), 0);
	if (!lacks_landlock()) {
		snprintf(named, sizeof(named), "x@%s", key);
		assert_int_equal(tried(try_reading_keys), 1);
	}
	snprintf(named, sizeof(named), "@%s", key);
	assert_int_equal(tried(try_reading_keys), 0);
}

static int
try_a_signal_outwards(void)
{
	return result(kill(getppid(), 0));
}

static void
test_signals_stay_inside(void **state)
{
	(void)state;
	if (syscall(__NR_landlock_create_ruleset, NULL, 0,
		LANDLOCK_CREATE_RULESET_VERSION) < 6) {
		print_message("skipped: this kernel's Landlock is older\n");
		skip();
	}
	assert_int_equal(tried(try_a_signal_outwards), EPERM);
}

/* --- Kernels that offer less ---------------------------------------------- */

/* As on one that has neither. */
static void
hide_means(void)
{
	struct sock_filter steps[] = {
	    BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_seccomp, 5, 0),
	    BPF_JUMP(
		BPF_JMP | BPF_JEQ | BPF_K, __NR_landlock_create_ruleset, 4, 0),
	    /* the older way to a filter */
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_prctl, 0, 2),
	    BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_SECCOMP, 1, 0),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};
	struct sock_fprog all = {sizeof(steps) / sizeof(steps[0]), steps};

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &all) != 0)
		_exit(1);
}

static void
test_a_kernel_without(void **state)
{
	char line[512];

	(void)state;
	read_log(hide_means, line, sizeof(line));
	assert_non_null(strstr(line, "level=info event=hardened"));
	assert_non_null(strstr(line, "landlock=\"Function not implemented\""));
	assert_non_null(strstr(line, "seccomp=\"the kernel takes no filter\""));
}

static int
try_cores(void)
{
	char text[16] = "";
	int fd = open("/proc/self/coredump_filter", O_RDONLY);

	return fd == -1 || read(fd, text, 15) <= 0 ? 1 : atoi(text);
}

/* Without the fence, for /proc is behind it. */
static void
test_cores_hold_no_memory(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		hide_means();
		log_set_level(LOG_LEVEL_ERROR);
		harden_apply(&settings, HARDEN_ANSWERS);
		_exit(try_cores());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A sanitizer reads /proc, traces its process and runs a program. */
static void
test_sanitized(void **state)
{
	(void)state;
	assert_true(logs("level=info event=not_hardened"));
	assert_int_equal(tried(try_reading_outside), 0);
	assert_int_equal(tried(try_unix_socket), 0);
}

static void
write_file(char *path, size_t size, const char *name)
{
	char folder[64];
	int fd;

	snprintf(folder, sizeof(folder), "%s/%.*s", root,
	    (int)strcspn(name, "/"), name);
	snprintf(path, size, "%s/%s", root, name);
	assert_true(mkdir(folder, 0700) == 0 || errno == EEXIST);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, "text", 4), 4);
	close(fd);
}

static int
set_up(void **state)
{
	struct db *conn = NULL;
	char link[80];

	(void)state;
	assert_non_null(mkdtemp(root));
	write_file(db, sizeof(db), "db/jobwire.db");
	assert_int_equal(truncate(db, 0), 0);
	assert_int_equal(db_open(db, DB_CREATE, 1000, &conn, NULL), OK);
	db_close(&conn);
	write_file(spool, sizeof(spool), "spool/x");
	*strrchr(spool, '/') = '\0';
	write_file(key, sizeof(key), "keys/key");
	write_file(jwks, sizeof(jwks), "jwks/jwks.json");
	write_file(outside, sizeof(outside), "outside/file");
	snprintf(named, sizeof(named), "@%s", key);
	snprintf(link, sizeof(link), "%s-link", db);
	return symlink(outside, link);
}

static int
tear_down(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_calls_that_are_not_there),
	    cmocka_unit_test(test_a_program_that_connects),
	    cmocka_unit_test(test_threads_and_workers),
	    cmocka_unit_test(test_files_out_of_reach),
	    cmocka_unit_test(test_our_files),
	    cmocka_unit_test(test_names_of_key_files),
	    cmocka_unit_test(test_signals_stay_inside),
	    cmocka_unit_test(test_a_kernel_without),
	    cmocka_unit_test(test_cores_hold_no_memory),
	};
	const struct CMUnitTest sanitized[] = {
	    cmocka_unit_test(test_our_files),
	    cmocka_unit_test(test_sanitized),
	};

	if (logs("event=not_hardened"))
		return cmocka_run_group_tests(sanitized, set_up, tear_down);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
