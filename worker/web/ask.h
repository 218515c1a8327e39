/*
 * ask - the head of one HTTP request, as far as this server looks at it.
 *
 * Pure.  Only the request line matters; header lines are passed over, a body is never read.
 * Source: RFC 9112, sections 2 and 3.
 */
#ifndef WORKER_WEB_ASK_H
#define WORKER_WEB_ASK_H

#include "common/span.h"

#define ASK_MAX		8192	/* bytes of the head */

enum ask {
	ASK_MORE,		/* its end has not come yet */
	ASK_WHOLE,
	ASK_BAD,		/* not HTTP/1.x, or not a path */
	ASK_LONG,		/* no end within ASK_MAX */
};

struct asked {
	struct span	 path;		/* without query; into the bytes */
	bool		 get;		/* GET or HEAD */
	bool		 head;		/* HEAD: the answer has no body */
};

enum ask	 ask_parse(struct span bytes, struct asked *out);

#endif
