/* SPDX-License-Identifier: ISC */
/*
 * Listening sockets and the accepting of connections. What is said on a
 * connection is the web layer's. Everything runs on the loop and never blocks,
 * but sock_listen(), which may look up a host name and is for start-up, and
 * sock_connect(), which is for commands.
 */
#include "io/sock.h"
#include "base/container_of.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BACKLOG = 4096, /* a web server may reconnect all its streams at once */
	TCP_RECEIVE_BYTES = 262144, /* accepted sockets inherit it */
	ACCEPTS_PER_TURN = 64,
	PAUSE_US = 1000000,
};

/* --- Listening ------------------------------------------------------------ */

/* Closes fd and says what failed; errno stays that of the failure. */
static enum err
fail(struct buf *message, const char *what, const char *on, int fd)
{
	int saved_errno = errno;

	if (fd != -1)
		close(fd);
	buf_addf(message, "%s %s: %s", what, on, strerror(saved_errno));
	errno = saved_errno;
	return ERR_SYS;
}

static bool
is_listening(int fd)
{
	int answer = 0;
	socklen_t size = sizeof(answer);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &answer, &size) == 0 &&
	       answer != 0;
}

/* The socket we were started with, -1 when there is none. */
static int
find_inherited(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *count = getenv("LISTEN_FDS");

	if (is_listening(STDIN_FILENO))
		return STDIN_FILENO;
	if (pid != NULL && count != NULL && atoll(pid) == getpid() &&
	    atoi(count) > 0 && is_listening(3))
		return 3; /* SD_LISTEN_FDS_START */
	return -1;
}

static enum err
adopt(int fd, int *ret_fd, struct buf *message)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
		return fail(message, "cannot use", "the inherited socket", -1);
	*ret_fd = fd;
	return OK;
}

/* Binds so that the socket never has a wider mode than asked, not even for
 * the moment between bind(2) and a chmod(2). */
static int
bind_unix(int fd, const struct sockaddr_un *address, mode_t mode)
{
	mode_t old_mask = umask(~mode & 0777);
	int r = bind(fd, (const struct sockaddr *)address, sizeof(*address));

	umask(old_mask);
	return r;
}

/* True when the path is a Unix socket that nobody listens on. Anything else
 * that is there, also a busy listener (EAGAIN), is left alone. */
static bool
is_stale(const struct sockaddr_un *address)
{
	struct stat st;
	bool is_refused;
	int fd;

	if (lstat(address->sun_path, &st) == -1 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return false;
	is_refused = connect(fd, (const struct sockaddr *)address,
			 sizeof(*address)) == -1 &&
		     errno == ECONNREFUSED;
	close(fd);
	return is_refused;
}

/* False with errno when it is too long. */
static bool
make_address(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(ret->sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	strcpy(ret->sun_path, path);
	return true;
}

static enum err
listen_unix(const char *path, mode_t mode, int *ret_fd, struct buf *message)
{
	struct sockaddr_un address;
	int fd, r;

	if (!make_address(path, &address))
		return fail(message, "cannot listen on", path, -1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return fail(message, "cannot make a socket for", path, -1);
	r = bind_unix(fd, &address, mode);
	if (r == -1 && errno == EADDRINUSE) {
		if (!is_stale(&address)) {
			close(fd);
			buf_addf(message, "%s is in use", path);
			return ERR_EXISTS;
		}
		unlink(path);
		r = bind_unix(fd, &address, mode);
	}
	if (r == -1)
		return fail(message, "cannot bind", path, fd);
	if (listen(fd, BACKLOG) == -1)
		return fail(message, "cannot listen on", path, fd);
	*ret_fd = fd;
	return OK;
}

/* A listening socket on one address, -1 with errno. */
static int
listen_address(const struct addrinfo *ai)
{
	int one = 1, bytes = TCP_RECEIVE_BYTES, saved_errno;
	int fd = socket(
	    ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return -1;
}

/* spec is HOST:PORT or [IPV6]:PORT. Errors as getaddrinfo(3). */
static int
find_addresses(const char *spec, int flags, struct addrinfo **ret)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
	const char *colon = strrchr(spec, ':');
	struct buf host = BUF_INIT;
	int r;

	if (spec[0] == '[' && colon > spec + 1 && colon[-1] == ']')
		buf_add(&host, spec + 1, (size_t)(colon - spec) - 2);
	else
		buf_add(&host, spec, (size_t)(colon - spec));
	r = getaddrinfo(buf_span(&host).p, colon + 1, &hints, ret);
	buf_done(&host);
	return r;
}

static enum err
listen_tcp(const char *spec, int *ret_fd, struct buf *message)
{
	struct addrinfo *list = NULL, *ai;
	int fd = -1, r = find_addresses(spec, AI_PASSIVE, &list);

	if (r != 0) {
		errno = r == EAI_SYSTEM ? errno : EADDRNOTAVAIL;
		buf_addf(message, "%s: %s", spec, gai_strerror(r));
		return ERR_SYS;
	}
	for (ai = list; ai != NULL && fd == -1; ai = ai->ai_next)
		fd = listen_address(ai);
	freeaddrinfo(list);
	if (fd == -1)
		return fail(message, "cannot listen on", spec, -1);
	*ret_fd = fd;
	return OK;
}

bool
sock_is_path(const char *spec)
{
	return strchr(spec, '/') != NULL || strchr(spec, ':') == NULL;
}

enum err
sock_listen(const char *spec, mode_t mode, int *ret_fd, struct buf *message)
{
	int fd = find_inherited();

	if (fd != -1)
		return adopt(fd, ret_fd, message);
	if (spec == NULL) {
		buf_add_str(message, "no socket given to listen on");
		return ERR_NOENT;
	}
	if (sock_is_path(spec))
		return listen_unix(spec, mode, ret_fd, message);
	return listen_tcp(spec, ret_fd, message);
}

/* --- Connecting ----------------------------------------------------------- */

/* A descriptor, or -1 with errno. */
static int
connect_to(const struct sockaddr *address, socklen_t size, int timeout_ms)
{
	const struct timeval wait = {
	    timeout_ms / 1000, timeout_ms % 1000 * 1000};
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int saved_errno;

	/* SO_SNDTIMEO counts for connect(2), too (socket(7)). */
	if (fd != -1 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
	    connect(fd, address, size) == 0)
		return fd;
	saved_errno = errno;
	if (fd != -1)
		close(fd);
	errno = saved_errno;
	return -1;
}

enum err
sock_connect(const char *spec, int timeout_ms, int *ret_fd)
{
	struct addrinfo *list = NULL, *ai;
	struct sockaddr_un address;
	int fd = -1, saved_errno;

	if (sock_is_path(spec)) {
		if (make_address(spec, &address))
			fd = connect_to((const struct sockaddr *)&address,
			    sizeof(address), timeout_ms);
	} else {
		errno = EADDRNOTAVAIL;
		if (find_addresses(spec, 0, &list) != 0)
			return ERR_SYS;
		for (ai = list; ai != NULL && fd == -1; ai = ai->ai_next)
			fd =
			    connect_to(ai->ai_addr, ai->ai_addrlen, timeout_ms);
		saved_errno = errno;
		freeaddrinfo(list);
		errno = saved_errno;
	}
	if (fd == -1)
		return ERR_SYS;
	*ret_fd = fd;
	return OK;
}

/* --- Accepting ------------------------------------------------------------ */

static int
open_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Gives up the spare descriptor for the connection that waits first. */
static void
refuse_one(struct acceptor *a)
{
	int fd;

	if (a->spare_fd == -1)
		return;
	close(a->spare_fd);
	fd = accept4(a->io.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd != -1)
		close(fd);
	a->spare_fd = open_spare();
}

static void
pause_accepting(struct acceptor *a)
{
	int64_t due_us = loop_now_us(a->loop) + PAUSE_US;

	if (timer_set(a->loop, &a->pause, due_us) == OK)
		(void)!io_want(a->loop, &a->io, 0);
}

static void
on_pause_over(struct timer *t)
{
	struct acceptor *a = container_of(t, struct acceptor, pause);

	if (a->spare_fd == -1)
		a->spare_fd = open_spare();
	(void)!io_want(a->loop, &a->io, IO_READ);
}

/*
 * Errors of a connection that failed while it waited concern that one only
 * (accept(2)); whatever else fails would fail at once again, so pause.
 */
static bool
is_only_this_one(int error)
{
	static const int list[] = {EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN,
	    ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP,
	    ENETUNREACH, ETIMEDOUT};
	size_t i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (list[i] == error)
			return true;
	return false;
}

static void
on_connections(struct io *io, unsigned ready)
{
	struct acceptor *a = container_of(io, struct acceptor, io);
	int fd, one = 1, i;

	(void)ready;
	/* on_accept may stop the acceptor, which leaves fd -1. */
	for (i = 0; i < ACCEPTS_PER_TURN && io->fd != -1; i++) {
		fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd != -1) {
			if (!a->is_unix)
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
				    sizeof(one));
			a->on_accept(a, fd);
		} else if (errno == EAGAIN) {
			return;
		} else if (!is_only_this_one(errno)) {
			refuse_one(a);
			pause_accepting(a);
			return;
		}
	}
}

enum err
acceptor_start(struct acceptor *a, struct loop *loop, int listen_fd)
{
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);
	int saved_errno;

	a->is_unix =
	    getsockname(listen_fd, (struct sockaddr *)&address, &size) == 0 &&
	    address.ss_family == AF_UNIX;
	a->loop = loop;
	a->pause = (struct timer){.on_due = on_pause_over};
	a->io = (struct io){.fd = listen_fd, .on_ready = on_connections};
	a->spare_fd = open_spare();
	if (a->spare_fd != -1 && io_add(loop, &a->io, IO_READ) == OK)
		return OK;
	saved_errno = errno;
	acceptor_stop(a);
	errno = saved_errno;
	return ERR_SYS;
}

void
acceptor_stop(struct acceptor *a)
{
	int fd = a->io.fd;

	if (a->loop == NULL)
		return;
	timer_cancel(a->loop, &a->pause);
	io_remove(a->loop, &a->io);
	close(fd);
	if (a->spare_fd != -1)
		close(a->spare_fd);
	a->loop = NULL;
}
