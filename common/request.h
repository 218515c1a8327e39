/*
 * request - what a method and a path of Discord's REST mean by the table.
 *
 * Pure.  The supervisor asks it how doubt is settled, the rest worker where a request queues.
 * Source: proto/routes.def and the rule for routes without a row that stands there.
 */
#ifndef COMMON_REQUEST_H
#define COMMON_REQUEST_H

#include "common/tables.h"

#define REQUEST_METHOD_MAX	8	/* bytes */
#define REQUEST_PATH_MAX	2048	/* bytes; messages.def: CALL.path */

/* Asked before a crash, and nobody knows whether it was done. */
enum settle {
	SETTLE_REPEAT,			/* twice is the same as once: it is sent again */
	SETTLE_NONCE,			/* sent again with its nonce, for a while */
	SETTLE_DOUBT,			/* EAMBIGUOUS */
	SETTLE_CODE			/* sent again; one JSON error code says "done before" */
};

struct request_rule {
	enum lane	 lane;
	enum settle	 settle;
	unsigned	 code;		/* of SETTLE_CODE, else 0 */
};

/*
 * NULL, or a sentence: method not one of GET HEAD POST PUT PATCH DELETE; path not an absolute path
 * of visible ASCII, longer than REQUEST_PATH_MAX, with "." or ".." segments or a fragment.
 */
const char		*request_check(struct span method, struct span path);
/* After request_check: the row that fits, else the rule of the method. */
struct request_rule	 request_rule(struct span method, struct span path);
/* All methods of the API. */
const char *const	*request_methods(size_t *n_r);
/* GET and HEAD change nothing. */
bool			 request_changes(struct span method);

/* The path without its query. */
struct span		 request_bare(struct span path);
/* The next segment of *rest, without its slash; false at the end. */
bool			 request_segment(struct span *rest, struct span *seg_r);

#endif
