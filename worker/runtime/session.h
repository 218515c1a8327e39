/*
 * session - an HTTP session with typed states: OPENING -> OPEN -> DRAINING -> CLOSED, one way.
 *
 * A session belongs to the worker's runtime, which alone can open, drain and close it.  Everyone
 * else has a struct http_ref: a view without a close, checked at every use.  Using one that is not
 * OPEN, or a stale one, returns a typed error; it cannot crash and must never be retried on that
 * view.  A new session is a new generation.
 *
 * Work is admitted while OPEN (http_admit) and may make requests until it is dismissed, also while
 * DRAINING.  The session is CLOSED when it drains and nothing admitted is left.
 *
 * Names are resolved by common/resolve, never by curl; an answer is used for 60 s, older ones until
 * a new one is there.
 *
 * Owner: struct rest.
 */
#ifndef WORKER_SESSION_H
#define WORKER_SESSION_H

#include "common/resolve.h"
#include "worker/runtime/curlloop.h"
#include "worker/worker.h"

#define HTTP_ADDRS_FRESH_MS	60000

enum http_state { HTTP_OPENING, HTTP_OPEN, HTTP_DRAINING, HTTP_CLOSED };	/* SESSION.state */

struct http;			/* the owner's side */
struct http_call;

struct http_ref {		/* the borrower's side: copy freely */
	uint64_t	 generation;
};

struct http_config {
	/* http(s)://host[:port][/path], without a slash at the end */
	const char	*base_url;
	const char	*user_agent;
	const char	*ca_file;		/* NULL: the system's */
	uint64_t	 connect_ms;		/* name, and TCP with TLS: each */
	unsigned	 connections;		/* 0: CURLLOOP_CONNECTIONS */
	/* Every change of state, with its reason. */
	void		(*on_state)(void *arg, const char *tag, enum http_state, const char *why);
	void		*arg;
};

/* ---- owner ---- */
/* In OPENING.  NULL with a sentence when the URL or curl will not do. */
struct http	*http_new(struct loop *, struct resolve *, const struct http_config *,
		    const char **why_r);
struct http_ref	 http_open(struct http *);		/* OPENING -> OPEN */
void		 http_drain(struct http *, const char *why);
/* Open calls end without a callback. */
void		 http_close(struct http *, const char *why);
void		 http_free(struct http **);		/* closes */
enum http_state	 http_state(const struct http *);

/* ---- borrower ---- */
/* ERR_OK, or ERR_ESESSION_*.  Every ERR_OK is followed by one http_dismiss. */
enum error	 http_admit(struct http *, struct http_ref);
void		 http_dismiss(struct http *, struct http_ref);

struct http_request {
	const char	*method, *path;		/* path below base_url */
	const char	*authorization;		/* NULL: none */
	struct span	 body;			/* borrowed until the callback */
	uint64_t	 total_ms;		/* 0: the caller watches the time */
	bool		 fresh;
	const char	*headers;		/* these three as in struct curl_request */
	bool		(*on_data)(void *arg, unsigned status, struct span head, struct span data);
	void		(*on_sent)(void *arg);
};
/* For admitted work.  fn is called once, never from inside; *call_r is valid until then. */
enum error	 http_start(struct http *, struct http_ref, const struct http_request *,
		    void (*fn)(const struct curl_answer *, void *arg), void *arg,
		    struct http_call **call_r);
/* Of an open call: the head so far and the status, 0 none; borrowed until it ends. */
struct span	 http_head(struct http_call *, unsigned *status_r);
/* True when a byte of it may have reached the server.  No callback after this. */
bool		 http_cancel(struct http_call **);

#endif
