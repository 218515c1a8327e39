/*
 * upgrade - become another bulkheadd in place: same pid, same arguments, same lock.
 *
 * First the program on disk is asked, as a child with -n and our arguments, whether it can read
 * this configuration and this journal.  Then intake stops, handlers end at once (what they held
 * is in the journal, and so is what they did), the rest workers finish what is on the wire, the
 * gateway session is closed resumably, and main.c executes the new program, which starts as after
 * any death: journal, RESUME, workers.  Answers that were being written go on in their messages.
 *
 * Owner: struct sup.
 */
#ifndef SUPERVISOR_UPGRADE_H
#define SUPERVISOR_UPGRADE_H

#include "common/json.h"
#include "supervisor/handover.h"
#include "supervisor/supervisor.h"

struct upgrade;
struct run;

/* former: what the one before us handed over, or NULL; program: the path that we were started by. */
struct upgrade	*upgrade_new(struct run *, const struct handover *former, const char *program);
void		 upgrade_free(struct upgrade **);

/*
 * Begin.  fn is called once, in a later turn: NULL when the new program is good and the switch
 * begins, else the sentence why everything stays as it is.
 *	program	a path, or "": the one on disk now where ours was
 * -1 with a sentence: not now.
 */
int		 upgrade_begin(struct upgrade *, struct span program, const char *who,
		    void (*fn)(void *arg, const char *why), void *arg, const char **why_r);
/* Of the next process, when there is one: what status says there. */
uint64_t	 upgrade_number(const struct upgrade *);
/* A stop came first: nothing is executed. */
void		 upgrade_cancel(struct upgrade *);
/* The last part of the stop order has ended. */
void		 upgrade_stopped(struct upgrade *);
/* All of it has stopped; the loop has ended because of that. */
bool		 upgrade_due(const struct upgrade *);
/*
 * Execute the new program, or ourselves when that fails.  Returns only when neither can be.
 *	argv	of main
 */
void		 upgrade_exec(struct run *, char **argv);

/* The session is live (or, without a gateway, the workers are): the switch is over.  Logs once. */
void		 upgrade_live(struct upgrade *, bool resumed);
/* A dispatch came out of Discord's replay. */
void		 upgrade_replayed(struct upgrade *);
/* The member "upgrade" for status: the last one, null when there was none. */
void		 upgrade_put(const struct upgrade *, struct json_out *);

/*
 * `-n` of the new program, asked by the old one: everything but the configuration, which was good.
 * 0, or -1 with a sentence on stderr.
 */
int		 upgrade_check(const struct handover *, const struct cfg *, const char *worker);

#endif
