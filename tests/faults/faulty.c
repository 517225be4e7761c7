/* SPDX-License-Identifier: ISC */
/*
 * Preloaded into a program, makes the system fail as told: FAULT_ORDERS names a
 * file of struct orders, which all such programs map and driver.py writes.
 * Counted orders are taken by whoever comes first and are over when they reach
 * 0.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "preload.h"

/* scene.py has the same list. */
struct orders {
	_Atomic int32_t eio_writes; /* so many fail, of the database's files */
	_Atomic int32_t eio_syncs;
	_Atomic int32_t is_full; /* while it is 1: ENOSPC */
	_Atomic int32_t sync_us; /* each sync takes so much longer */
	_Atomic int32_t emfile;	 /* so many times there is no descriptor */
	_Atomic int32_t
	    skip_alloc;		 /* so many succeed, then one fails; 0: off */
	_Atomic int32_t clock_s; /* the clock of the wall is off by that */
	_Atomic int32_t no_wal;	 /* so many times -wal is not to be written */
	_Atomic int32_t no_shm;	 /* the same, -shm */
};

static struct orders none;
static struct orders *orders = &none;

__attribute__((constructor)) static void
start(void)
{
	const char *path = getenv("FAULT_ORDERS");
	void *map;
	int fd;

	if (path == NULL)
		return;
	fd = REAL(open)(path, O_RDWR | O_CLOEXEC);
	if (fd == -1)
		abort();
	map = mmap(
	    NULL, sizeof(*orders), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		abort();
	(void)close(fd);
	orders = map;
}

/* Takes one of so many. */
static bool
take(_Atomic int32_t *count)
{
	int32_t left = atomic_load(count);

	while (left > 0)
		if (atomic_compare_exchange_weak(count, &left, left - 1))
			return true;
	return false;
}

static bool
fails(int error)
{
	errno = error;
	return true;
}

/* Only files can be full or broken, and of these only the database's are
 * written with an offset. */
static bool
write_fails(void)
{
	if (atomic_load(&orders->is_full) != 0)
		return fails(ENOSPC);
	return take(&orders->eio_writes) && fails(EIO);
}

ssize_t
pwrite(int fd, const void *bytes, size_t n, off_t at)
{
	return write_fails() ? -1 : REAL(pwrite)(fd, bytes, n, at);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
	return write_fails() ? -1 : REAL(pwrite64)(fd, bytes, n, at);
}

static bool
sync_fails(void)
{
	int32_t us = atomic_load(&orders->sync_us);
	struct timespec pause = {us / 1000000, us % 1000000 * 1000L};

	if (us > 0)
		(void)nanosleep(&pause, NULL);
	return take(&orders->eio_syncs) && fails(EIO);
}

int
fsync(int fd)
{
	return sync_fails() ? -1 : REAL(fsync)(fd);
}

int
fdatasync(int fd)
{
	return sync_fails() ? -1 : REAL(fdatasync)(fd);
}

int
accept4(int fd, __SOCKADDR_ARG address, socklen_t *restrict size, int flags)
{
	if (take(&orders->emfile) && fails(EMFILE))
		return -1;
	return REAL(accept4)(fd, address, size, flags);
}

static bool
is_written(const char *path, int flags, const char *suffix)
{
	size_t n = strlen(path);

	return (flags & O_ACCMODE) == O_RDWR && n > strlen(suffix) &&
	       strcmp(path + n - strlen(suffix), suffix) == 0;
}

int
open64(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if ((flags & O_CREAT) != 0)
		mode = va_arg(args, mode_t);
	va_end(args);
	if ((is_written(path, flags, "-wal") && take(&orders->no_wal)) ||
	    (is_written(path, flags, "-shm") && take(&orders->no_shm)) ||
	    take(&orders->emfile)) {
		errno = EMFILE;
		return -1;
	}
	return REAL(open64)(path, flags, mode);
}

int
clock_gettime(clockid_t clock, struct timespec *ret)
{
	int result = (int)syscall(SYS_clock_gettime, clock, ret);

	if (result == 0 && clock == CLOCK_REALTIME)
		ret->tv_sec += atomic_load(&orders->clock_s);
	return result;
}

int
gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	int result = (int)syscall(SYS_gettimeofday, ret, zone);

	if (result == 0)
		ret->tv_sec += atomic_load(&orders->clock_s);
	return result;
}

time_t
time(time_t *ret)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (ret != NULL)
		*ret = now.tv_sec;
	return now.tv_sec;
}

/* glibc's own names: dlsym() allocates. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

/* libfcgi and json-c end the process; jobwire asks for their memory before
 * them, which one failure at random does not notice. */
static bool
can_fail(const void *caller)
{
	Dl_info info;

	return dladdr(caller, &info) == 0 || info.dli_fname == NULL ||
	       (strstr(info.dli_fname, "/libfcgi") == NULL &&
		   strstr(info.dli_fname, "/libjson-c") == NULL);
}

static bool
alloc_fails(const void *caller)
{
	if (!take(&orders->skip_alloc))
		return false;
	return atomic_load(&orders->skip_alloc) == 0 && can_fail(caller) &&
	       fails(ENOMEM);
}

#define FAILS() alloc_fails(__builtin_return_address(0))

void *
malloc(size_t size)
{
	return FAILS() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return FAILS() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *old, size_t size)
{
	return FAILS() ? NULL : __libc_realloc(old, size);
}
