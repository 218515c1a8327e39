/*
 * fetch - files of messages, by their URL.
 *
 * One HTTP session for each server, at most FETCH_SERVERS; plain text only from a loopback address.
 * Nothing is asked again: a file that does not come is said to be missing.
 *
 * Owner: the chat role.  Callbacks never come from inside a call of this header.
 */
#ifndef WORKER_CHAT_FETCH_H
#define WORKER_CHAT_FETCH_H

#include "common/loop.h"
#include "common/resolve.h"
#include "common/span.h"

#define FETCH_SERVERS	4
#define FETCH_MS	20000	/* for one file */

struct fetch;
struct fetch_job;

/* Texts are copied; ca_file NULL: the system's. */
struct fetch	*fetch_new(struct loop *, struct resolve *, const char *user_agent,
		    const char *ca_file, uint64_t connect_ms);
void		 fetch_free(struct fetch **);	/* after its jobs */
/*
 * fn is called once; file is borrowed, empty when it did not come or is larger than max_bytes.
 * NULL: the URL will not do, or it is of one server too many; fn is not called.
 */
struct fetch_job *fetch_start(struct fetch *, const char *url, uint64_t max_bytes,
		    void (*fn)(void *arg, struct span file), void *arg);
void		 fetch_cancel(struct fetch_job **);	/* no callback after this */

#endif
