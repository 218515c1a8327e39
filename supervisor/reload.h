/*
 * reload - the configuration file read again while everything runs.
 *
 * The configuration child reads it inside the loop; cfgdiff says what is different, and only that is
 * touched: LIVE options take effect at once, pools whose workers would be told something else roll,
 * `workers` scales, pools come and go, and what needs a start of the supervisor is named.  A file
 * with a mistake changes nothing.  One reload at a time.
 *
 * Owner: struct sup.
 */
#ifndef SUPERVISOR_RELOAD_H
#define SUPERVISOR_RELOAD_H

#include "common/json.h"
#include "supervisor/supervisor.h"

struct reload;

enum reload_result {
	RELOAD_NEVER,		/* there was none yet */
	RELOAD_SAME,		/* the file says what is running */
	RELOAD_DONE,
	RELOAD_PART,		/* taken over, but a pool did not follow */
	RELOAD_BAD,		/* the file has mistakes; nothing was changed */
};

struct reload	*reload_new(struct sup *);
/* After the pools, which do not call back any more. */
void		 reload_free(struct reload **);

/*
 * Begin.  fn is called once when all is done, in a later turn; doc is a JSON object with what
 * changed, borrowed for the call.
 *	who	for the log
 * -1 with a sentence: one is under way already, or the supervisor does something else.
 */
int		 reload_begin(struct reload *, const char *who,
		    void (*fn)(void *arg, enum reload_result, const char *why, struct span doc),
		    void *arg, const char **why_r);
bool		 reload_under_way(const struct reload *);
/* SIGHUP: as reload_begin, and once more after one that is under way. */
void		 reload_signal(struct reload *);
/* The stop order: the child is killed; what pools were asked for is theirs to end. */
void		 reload_stop(struct reload *);

/* The file on disk was refused, and is what a start would find: why.  NULL: it was not. */
const char	*reload_refused(const struct reload *);
/* Members for status: the last one, and whether the file differs from what runs. */
void		 reload_put(const struct reload *, struct json_out *);

#endif
