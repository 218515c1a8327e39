/*
 * moments - life-cycle events as they happen, for who follows them.
 *
 * The rooms say them where they log them; nobody but the control room listens.  Costs a comparison
 * while nobody follows.  One process, one follower: like the log, it is passed to no one.
 */
#ifndef SUPERVISOR_MOMENTS_H
#define SUPERVISOR_MOMENTS_H

enum moment {
#define MOMENT(id, name, help) MOMENT_##id,
#include "proto/moments.def"
#undef MOMENT
	MOMENT__N
};

const char	*moment_name(enum moment);
/* fn gets each one from now on, with borrowed text; NULL: nobody listens. */
void		 moments_follow(void (*fn)(void *arg, enum moment, const char *who, const char *text),
		    void *arg);
/* who: the tag or name it is about, "" the supervisor itself. */
void		 moment_say(enum moment, const char *who, const char *fmt, ...)
		    __attribute__((format(printf, 3, 4)));

#endif
