/*
 * testlink - one worker process under test, and the supervisor that it talks to, played.
 *
 * Plays what proto/README.md promises: it gives what it is told to give, answers CALLs and streams
 * like a Discord to which everything succeeds, and notes the first thing that the protocol forbids.
 * Blocks; every wait has its bound.
 *
 * Owner: struct test (teststeps.h), one after another.  Zeroed by tl_start, emptied by tl_end.
 */
#ifndef SUPERVISOR_CTL_TESTLINK_H
#define SUPERVISOR_CTL_TESTLINK_H

#include <sys/types.h>

#include "common/clock.h"
#include "common/msg.h"

#define TL_DELIVERIES_MAX	64
#define TL_CALLS_MAX		1024
#define TL_CREDIT		16		/* as of a pool that names none */
#define TL_FINISH_MS		5000		/* T1 and T2 of DRAIN */
#define TL_LAST_WORD_MS		1000
#define TL_POOL			"test"

struct tl_spec {
	char *const	*argv;			/* ends with NULL */
	char *const	*env;			/* NAME=value, more of an environment */
	size_t		 env_n;
	const char	*role;
	struct msg_list	 options;		/* for HELLO */
};

struct tl_delivery {
	uint64_t	 id, key;
	size_t		 begun;			/* when its first call came, counted; 0 not yet */
	bool		 ended, acked;
	uint64_t	 reason;		/* of its NACK */
};

struct tl_call {
	uint64_t	 number, delivery, ordinal, id;
	char		*route;			/* "POST /channels/1/messages", or "stream" */
	bool		 stream, answered, complete;
	size_t		 text_bytes;		/* of a stream: known so far */
};

/* What becomes of a call when it comes. */
enum tl_answers { TL_SUCCEED, TL_HOLD, TL_REFUSE };

struct tl {
	struct mono		 born;
	pid_t			 pid;
	int			 fd, pidfd, err_fd;
	bool			 gone;			/* the link is over */
	bool			 dead;			/* reaped */
	int			 status;
	struct buf		 in;
	msgpack_zone		 zone;
	char			 bad[256];		/* the first violation; "" none */

	bool			 hello;			/* sent */
	bool			 ready;
	uint64_t		 ready_ms;		/* after HELLO */
	struct mono		 greeted;
	struct buf		 events, verbs;		/* of READY */
	uint64_t		 pongs;			/* cookie of the last one */

	enum tl_answers		 answers;
	uint64_t		 hold_for;		/* with TL_HOLD: this delivery alone; 0 all */
	const struct tl_call	*done;			/* effects of an earlier attempt */
	size_t			 done_n;
	size_t			 happened;		/* counts CALLs, ACKs, NACKs */
	struct tl_delivery	 deliveries[TL_DELIVERIES_MAX];
	size_t			 deliveries_n;
	struct tl_call		 calls[TL_CALLS_MAX];
	size_t			 calls_n;
	uint64_t		 asked;			/* number of the CALL that we made; 0 none */
	bool			 told;			/* its RESULT came */
	uint64_t		 told_error;
};

/* Start the program; says nothing to it yet.  -1: there is no process, errno. */
int	 tl_start(struct tl *, const struct tl_spec *);
void	 tl_hello(struct tl *, const struct tl_spec *);
void	 tl_send(struct tl *, enum msg_type, const void *src);
/* The same in pieces of a byte each. */
void	 tl_send_slowly(struct tl *, enum msg_type, const void *src);
void	 tl_raw(struct tl *, const void *, size_t);
/* Held calls are answered: ERR_OK, or that error. */
void	 tl_release(struct tl *, uint64_t error);
/*
 * Read and answer until cond, at most ms.  Also ends, with false, at a violation and when the
 * program is dead; cond has the last word.
 */
bool	 tl_until(struct tl *, bool (*cond)(const struct tl *), uint64_t ms);
void	 tl_close(struct tl *);			/* our end of the link */
/* Its process group ends now; what it wrote to stderr stays readable until tl_end. */
void	 tl_kill(struct tl *);
void	 tl_end(struct tl *);
/* How it died: "exited with status 3", "was killed by signal 11 (Segmentation fault)". */
const char *tl_death(const struct tl *, char *dst, size_t dst_bytes);

struct tl_delivery *tl_delivery(struct tl *, uint64_t id);

#endif
