/*
 * link - bulkheadctl's end of the control socket: one ASK, its SAYs and the END.
 *
 * It blocks, as the program has nothing else to do; every wait ends with the deadline of struct ctl.
 * What cannot go on ends the program with a sentence and an exit status of contract.h.
 */
#ifndef SUPERVISOR_CTL_LINK_H
#define SUPERVISOR_CTL_LINK_H

#include <jansson.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/msg.h"

struct ctl {
	const char	*path;
	bool		 json, wait;
	bool		 reads;		/* what is asked changes nothing */
	bool		 soft;		/* nobody there is no reason to end */
	bool		 again;		/* an answer that never came is asked for once more */
	bool		 unread;	/* what was asked was not read, or not whole: it was not done */
	bool		 endless;	/* the deadline is an end as good as another */
	struct mono	 deadline;
	uint64_t	 timeout_ms;
	struct buf	 flags;		/* options that are words of the request */
	int		 fd;
	int		 pidfd;		/* of the supervisor; -1 none */
	struct buf	 doc;
	/* Each SAY is a document of its own, and comes here; NULL: they are joined in doc. */
	void		(*on_say)(struct ctl *, struct span json);
	char		 why[513];
};

/* 1 ready, 0 the deadline passed. */
int	 link_wait(struct ctl *, int fd, short events);
void	 link_timed_out(const struct ctl *) __attribute__((noreturn));
/* 0; -1 when nobody answers and that is no reason to end. */
int	 link_dial(struct ctl *);
void	 link_ask(struct ctl *, const struct msg_ASK *);
/* SAY* and END.  The status of END; LINK_LOST when it never came, with again, unread or soft. */
#define LINK_LOST	256
int	 link_answer(struct ctl *);
void	 link_close(struct ctl *);
/* 1 bytes were added, 0 the peer has closed. */
int	 link_read(struct ctl *, struct buf *in);
/* One status; NULL while nobody answers. */
json_t	*link_status(struct ctl *);

#endif
