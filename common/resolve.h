/*
 * resolve - names to addresses on evdns, A and AAAA, with a deadline.
 *
 * Never blocks.  resolv.conf is read again when it has changed.  Literal addresses,
 * "localhost" and names in /etc/hosts are answered without a query (in a later loop turn all
 * the same).  The last good answer is kept for up to an hour and given when the servers are
 * silent: after 2 s, or at the deadline if that is sooner.
 */
#ifndef COMMON_RESOLVE_H
#define COMMON_RESOLVE_H

#include "common/loop.h"

#define RESOLVE_ADDRS_MAX	8
#define RESOLVE_TEXT_MAX	46

struct resolve;
struct resolve_query;

struct resolve_answer {
	char	 addr[RESOLVE_ADDRS_MAX][RESOLVE_TEXT_MAX];	/* numeric; IPv6 without brackets */
	size_t	 addrs_n;					/* 0: failed */
	bool	 stale;						/* from an earlier answer */
	const char *why;					/* when addrs_n is 0 */
};

struct resolve	*resolve_new(struct loop *, const char *resolv_conf);
void		 resolve_hosts(struct resolve *, const char *path);	/* instead of /etc/hosts */
void		 resolve_free(struct resolve **);	/* outstanding queries end silently */
/* One callback, never inside this call; the query is gone when it returns.  deadline_ms > 0. */
struct resolve_query *resolve_start(struct resolve *, const char *host, uint64_t deadline_ms,
		    void (*fn)(const struct resolve_answer *, void *arg), void *arg);
void		 resolve_cancel(struct resolve_query **);	/* no callback after this */

#endif
