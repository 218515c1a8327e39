/*
 * lineage - the HTTP session of a model, and the ones before it.
 *
 * A session that too many connections in a row failed on is replaced by one of a new generation;
 * what was admitted to the old one ends on it, and with the last of these it is gone.  Sessions are
 * never reopened.
 *
 * Owner: a model.
 */
#ifndef WORKER_CHAT_LINEAGE_H
#define WORKER_CHAT_LINEAGE_H

#include "worker/runtime/session.h"

struct lineage;
struct generation;		/* one session, and how many it has admitted */

/*
 *	cf, name	borrowed with all they point to; the name is the model's, for the log
 *	failures_max	in a row
 * NULL with a sentence when a session cannot be made.
 */
struct lineage	*lineage_new(struct loop *, struct resolve *, const struct http_config *,
		    const char *name, unsigned failures_max, const char **why_r);
/* When nothing is admitted any more. */
void		 lineage_free(struct lineage **);
/*
 * Admitted to the current session, until lineage_dismiss; and dismissed from the old one, if *gp is
 * that, which may be NULL.  ERR_OK, or why it takes nothing (ERR_ESESSION_*): *gp is NULL then.
 */
enum error	 lineage_admit(struct lineage *, struct generation **gp);
void		 lineage_dismiss(struct lineage *, struct generation **gp);	/* also NULL */
/* http_start on its session. */
enum error	 generation_start(struct generation *, const struct http_request *,
		    void (*fn)(const struct curl_answer *, void *arg), void *arg,
		    struct http_call **call_r);
/* Proof that the server is there, or why it is not.  Never replaces the session at once. */
void		 lineage_count(struct lineage *, bool ok, const char *why);

#endif
