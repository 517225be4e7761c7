/* SPDX-License-Identifier: ISC */
/*
 * One FastCGI connection, as fcgi.c, fcgi_in.c and fcgi_out.c share it. Layer:
 * web, internal to these three.
 *
 * State   entered                        left
 * HEAD    accepted, or answer sent       fcgi_in: a whole head; or the peer,
 *         with FCGI_KEEP_CONN            the deadline or a stop ended it
 * BODY    the head is parsed             fcgi_in: STDIN ended
 * HELD    on_request has the exchange    fcgi_out: answer, first send, drop
 * STREAM  the first send                 fcgi_out: end, drop; the peer left
 * SENDING the answer's last bytes wait   fcgi_out: all sent
 * CLOSED  anything ended it              freed at the end of the turn
 *
 * A connection is read when it is accepted, and given to the loop only when it
 * has to wait: most requests are answered before that.
 */
#ifndef JOBWIRE_FCGI_CONN_H
#define JOBWIRE_FCGI_CONN_H

#include <sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "io/loop.h"
#include "io/sock.h"
#include "web/body.h"
#include "web/exchange.h"
#include "web/fcgi.h"
#include "web/fcgi_record.h"
#include "web/fcgi_head.h"

enum { FCGI_READ_SIZE = 65536 }; /* of a connection, in a turn */

enum fcgi_conn_state {
	FCGI_CONN_HEAD,
	FCGI_CONN_BODY,
	FCGI_CONN_HELD,
	FCGI_CONN_STREAM,
	FCGI_CONN_SENDING,
	FCGI_CONN_CLOSED,
};

/* What a connection needs only from a head to its answer. */
struct fcgi_pending {
	struct buf head; /* what has come of it, where that was not all */
	struct fcgi_scan judged;
	struct request request;
	struct body body;
	struct buf answer; /* in SENDING; of a stream, its end */
	size_t sent;	   /* of the answer */
	size_t step;	   /* what was sent when its deadline was set */
	size_t held;	   /* bytes of it that count in body_limits */
};

/* There are thousands: small enough for 128 bytes of the heap. */
struct fcgi_conn {
	struct exchange x; /* first: the handler's view */
	struct io io;
	struct fcgi_server *server;
	LIST_ENTRY(fcgi_conn) link; /* server->conns; once CLOSED, ->closed */
	struct fcgi_pending
	    *pending; /* owned; NULL when idle and while streaming */
	unsigned char
	    header[FCGI_RECORD_HEADER_LEN]; /* of the record being read */
	uint32_t record_left; /* content and padding still to come */
	uint16_t request_id;
	uint8_t header_len;  /* how much of the header is there */
	uint8_t state : 3;   /* enum fcgi_conn_state */
	bool is_watched : 1; /* the loop has it */
	bool wants_room : 1; /* and was asked for IO_WRITE */
	bool keep_conn : 1;
	bool is_kept : 1; /* has answered a request before */
	bool saw_eof : 1; /* the peer will send no more */
};

struct fcgi_server {
	struct acceptor acceptor;
	struct loop *loop;
	struct transport_config cfg;
	struct fcgi_parser parser;
	LIST_HEAD(fcgi_conns, fcgi_conn) conns, closed;
	struct deferred reap;  /* frees the closed ones */
	size_t n_kept;	       /* of these, connections that answered before */
	struct timer idle_end; /* of a stop */
	bool is_stopping;
	unsigned char scratch[FCGI_READ_SIZE]; /* one read's worth, for all */
};

/* Any state; frees at the end of the turn. */
void fcgi_conn_close(struct fcgi_conn *c);

/* Nothing that follows on this connection is worth reading: the peer closed
 * it, or broke the protocol. Tells a streaming handler. */
void fcgi_conn_lost(struct fcgi_conn *c);

/* Closes the connection that long from now, unless that is settled already. */
void fcgi_conn_set_deadline(struct fcgi_conn *c, int64_t ms);

/* Has the loop tell what is ready: `more` of it (IO_WRITE or 0) beside what can
 * be read. Asked again, it tells again. False when it cannot. */
bool fcgi_conn_watch(struct fcgi_conn *c, unsigned more);

/* Sees to it that the connection has one. False: no memory. */
bool fcgi_conn_make_pending(struct fcgi_conn *c);

/* Neither the request nor the answer is needed any more. */
void fcgi_conn_drop_pending(struct fcgi_conn *c);

/* In fcgi_in.c: reads once, whatever the state wants of it, and sees to it that
 * what comes later is told. is_last: the end stands behind what is there. */
void fcgi_conn_read(struct fcgi_conn *c, bool is_last);

/* In fcgi_out.c. */
extern const struct exchange_ops fcgi_conn_ops;
void fcgi_conn_flush(struct fcgi_conn *c);
/* END_REQUEST with UNKNOWN_ROLE. */
void fcgi_conn_refuse_role(struct fcgi_conn *c);

#endif
