/*
 * voice - what a worker writes to stderr: into the log under its tag, and kept as its last words.
 *
 * At most 200 lines a second are logged, those of LOG messages among them; what is above is counted
 * and said.  The last words are kept all the same.
 *
 * Owner: struct child.
 */
#ifndef SUPERVISOR_VOICE_H
#define SUPERVISOR_VOICE_H

#include "common/loop.h"
#include "supervisor/pool/lines.h"
#include "supervisor/pool/obituary.h"

struct voice {
	struct loop		*loop;
	const char		*tag;		/* borrowed for life */
	int			 fd;		/* -1: closed */
	struct watch		*watch;
	struct lines		 lines;
	struct last_words	 words;
	struct mono		 second;	/* when the one that is counted began */
	unsigned		 said;		/* lines in it */
	uint64_t		 unsaid;	/* since that was last logged */
};

/* fd, which does not block, becomes its own. */
void	 voice_init(struct voice *, struct loop *, const char *tag, int fd);
void	 voice_fini(struct voice *);
/* May one more line be logged?  It is counted as logged, or as not. */
bool	 voice_may_say(struct voice *);
/* The worker is dead: take what it left in the pipe. */
void	 voice_end(struct voice *);

#endif
