/*
 * lwsloop - WebSocket client connections: libwebsockets on a libuv loop inside ours.
 *
 * The only file that knows libwebsockets.  It connects to a numeric address and verifies the
 * certificate against the host's name; it resolves nothing and knows no proxy.
 * Frames are handed on as they arrive, gathered by the caller.
 *
 * Owner: the gateway, of the loop and of each connection until lwsconn_drop.  Every call may come
 * from inside a callback but lwsloop_free.
 */
#ifndef SUPERVISOR_LWSLOOP_H
#define SUPERVISOR_LWSLOOP_H

#include "common/loop.h"
#include "common/span.h"

struct lwsloop;
struct lwsconn;

/* All borrowed for the call. */
struct lwsdial {
	const char	*addr;			/* numeric */
	uint16_t	 port;
	const char	*host;			/* for SNI,
	    certificate and Host; at most 120 bytes */
	const char	*path;			/* with its query */
	const char	*user_agent;
	bool		 tls;
	uint64_t	 phase_ms;		/* bound of TCP, of TLS, of the upgrade, each */
};

struct lwsconn_ops {
	void	(*on_open)(void *arg);
	/*
	 * A part of a message.  last: the message is whole with it.  part is valid during the
	 * call.
	 */
	void	(*on_frame)(void *arg, struct span part, bool last, bool binary);
	/* A text of lwsconn_send went to the kernel. */
	void	(*on_sent)(void *arg, uint64_t cookie, struct mono when);
	/*
	 * Not open any more, or never was; once, then nothing more.
	 *	code	close code of the peer, or HTTP status of the upgrade that it refused; 0: none
	 *	why	its text, or what went wrong; valid during the call
	 */
	void	(*on_gone)(void *arg, bool was_open, unsigned code, const char *why);
};

/*
 * ca_file: certificates to trust instead of the system's; NULL: the system's.  Borrowed for life.
 * NULL when it cannot start: *why_r, static text.
 */
struct lwsloop	*lwsloop_new(struct loop *, const char *ca_file, const char **why_r);
/* Connections that are left are cut; no callback comes. */
void		 lwsloop_free(struct lwsloop **);
/* Load the certificates now, not in the first dial of wss://.  A failure is that dial's. */
void		 lwsloop_prepare(struct lwsloop *);

/* Never NULL, and no callback inside the call: a failure comes by on_gone. */
struct lwsconn	*lwsloop_dial(struct lwsloop *, const struct lwsdial *, const struct lwsconn_ops *,
    void *arg);
/*
 * Queue a text message (copied); one leaves per turn of the socket.  Nothing happens when it
 * is closing.
 */
void		 lwsconn_send(struct lwsconn *, struct span text, uint64_t cookie);
/* Stop reading, or go on. */
void		 lwsconn_pause(struct lwsconn *, bool);
/* Send a close frame; on_gone follows when it is answered, or after a second. */
void		 lwsconn_close(struct lwsconn *, unsigned code);
/* The same, and let go of it: no callback comes any more. */
void		 lwsconn_drop(struct lwsconn **, unsigned code);

#endif
