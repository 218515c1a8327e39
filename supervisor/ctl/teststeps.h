/*
 * teststeps - what the checks of test-worker are made of: steps, and a verdict.  Private to ctl/.
 *
 * A step that returns bool goes on while it is true; when it is false the verdict says why.  The
 * first failure stands.
 */
#ifndef SUPERVISOR_CTL_TESTSTEPS_H
#define SUPERVISOR_CTL_TESTSTEPS_H

#include <jansson.h>

#include "supervisor/ctl/testlink.h"

#define QUIET_MS	150	/* long enough for an answer that must not come */

enum verdict { OK, FAILED, SKIPPED };

struct test {
	struct tl_spec	 spec;
	uint64_t	 timeout_ms;
	const char	*event;
	json_t		*body;		/* object; id and channel_id are put in */
	uint64_t	 ids;
	struct tl	 tl;
	enum verdict	 verdict;
	char		 why[384];
};

/* What gives the same event again: its body has the ids. */
struct event {
	char		*body;
	uint64_t	 delivery, key;
};

void	 test_failed(struct test *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* More about what is well; nothing once it has failed or was skipped. */
void	 test_note(struct test *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void	 test_skipped(struct test *, const char *why);

/* Wait for cond; without it the check has failed, and the sentence says what was seen instead. */
bool	 test_await(struct test *, bool (*cond)(const struct tl *), uint64_t ms, const char *what);
/* Nothing may come now; what comes late and should not is found here too. */
bool	 test_quiet(struct test *);
/*
 * Until it sleeps, as a program does that waits for HELLO: a slow one must not get it before it had
 * the time to speak too early.
 */
void	 test_settle(struct test *);

bool	 test_start(struct test *);		/* nothing is said to it yet */
bool	 test_wait_ready(struct test *);
bool	 test_up(struct test *);		/* started, greeted, READY */
bool	 test_takes_event(struct test *);	/* else it is skipped */
bool	 test_up_for_event(struct test *);

uint64_t test_new_id(struct test *);
/* The event, for a channel of that number; the caller frees its body. */
struct event test_make_event(struct test *, uint64_t channel);
/* As a message, borrowing its body; it counts as given. */
struct msg_EVENT test_event_msg(struct test *, const struct event *);
void	 test_give(struct test *, uint64_t channel);
/* The first delivery has a call open.  It makes none: skipped. */
bool	 test_called(struct test *);
/* Up, with one delivery whose calls stay open. */
bool	 test_hold_one(struct test *);
bool	 test_ping(struct test *, const char *what);

#endif
