/*
 * curlloop - HTTP requests by libcurl's multi interface on the event loop.
 *
 * The only file that knows curl.  Never resolves a name (the caller gives addresses), never follows
 * a redirect, uses no proxy, checks certificates, keeps connections.  A job ends with exactly one
 * callback, never from inside a call.
 *
 * libcurl sends a request again by itself when a kept connection turns out to be dead, whatever its
 * method.  That would do things twice, so the second sending is refused here: a job is sent at most
 * once, and `sent` tells whether a byte of it can have left.
 *
 * Owner: the session.  One per process.
 */
#ifndef WORKER_CURLLOOP_H
#define WORKER_CURLLOOP_H

#include "common/loop.h"
#include "common/span.h"

#define CURLLOOP_BODY_MAX	(32u << 20)	/* of an answer; contract: RESULT.body */
#define CURLLOOP_HEAD_MAX	(64u << 10)
#define CURLLOOP_CONNECTIONS	64		/* to one host */

struct curlloop;
struct curl_job;

/* Everything is copied but body, which must stay until the job has ended. */
struct curl_request {
	const char	*method, *url;
	const char	*resolve;		/* "host:port:addr,addr", NULL for a numeric host */
	const char	*authorization;		/* value of the header, NULL: none */
	const char	*user_agent, *ca_file;	/* ca_file NULL: the system's */
	struct span	 body;			/* JSON, or empty */
	uint64_t	 connect_ms, total_ms;	/* total_ms 0: the caller watches the time */
	bool		 fresh;			/* on a connection of its own */
	const char	*headers;		/* more lines, each ends with LF; NULL: none */
	/*
	 * For an answer that is read while it comes (its body is not kept and has no cap), and
	 * for the moment when the request goes out.  NULL: not wanted.  Called from inside curl
	 * with fn's arg: they start and cancel nothing.  False ends the job.
	 */
	bool		(*on_data)(void *arg, unsigned status, struct span head, struct span data);
	void		(*on_sent)(void *arg);
};

struct curl_answer {
	bool		 answered;		/* status, head and body hold */
	bool		 sent;			/* a byte of it may have reached the server */
	bool		 timed_out, too_big;
	const char	*why;			/* when not answered: one sentence */
	unsigned	 status;
	/* header lines of the final answer, see curl_header */
	struct span	 head;
	struct span	 body;
};

/* NULL with a sentence when curl cannot be set up. */
struct curlloop	*curlloop_new(struct loop *, const char **why_r);
/* At once, and kept; instead of CURLLOOP_CONNECTIONS. */
void		 curlloop_connections(struct curlloop *, unsigned n);
void		 curlloop_free(struct curlloop **);	/* no job may be open */
struct curl_job	*curlloop_start(struct curlloop *, const struct curl_request *,
		    void (*fn)(const struct curl_answer *, void *arg), void *arg);
/* The answer's head so far and its status, 0 none; borrowed until the job ends. */
struct span	 curlloop_head(struct curl_job *, unsigned *status_r);
/* No callback after this.  True when a byte of it may have reached the server. */
bool		 curlloop_cancel(struct curl_job **);

/* Value of the last header of that name, without blanks around it; false when there is none. */
bool		 curl_header(struct span head, const char *name, struct span *value_r);

#endif
