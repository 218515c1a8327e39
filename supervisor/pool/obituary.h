/*
 * obituary - what is kept of each death of a worker, and the words for it.
 *
 * Pure.  child.c gathers the facts, obituary_judge finds the cause and the sentence.
 */
#ifndef SUPERVISOR_OBITUARY_H
#define SUPERVISOR_OBITUARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define OBITUARY_LINES		8	/* last lines of stderr that are kept */
#define OBITUARY_FRAMES		24	/* of the backtrace */
#define OBITUARY_HELD		8	/* deliveries that are named */
#define OBITUARIES_KEPT		32	/* per pool */

enum death {
	DEATH_EXIT,		/* exited by itself: code */
	DEATH_SIGNAL,		/* a signal that we did not send */
	DEATH_HUNG,		/* no tick for `hang`: SIGABRT, then SIGKILL */
	DEATH_STOPPED,		/* state T for `stopped`: SIGKILL */
	DEATH_NO_READY,		/* no READY within start_deadline */
	DEATH_PROTOCOL,		/* broke the protocol; text says how */
	DEATH_EXEC,		/* the program could not be started */
	DEATH_ASKED,		/* drained or killed because someone asked */
	DEATH_MEMORY,		/* above its memory: by the kernel in its cgroup, or by us */
	DEATH__N
};

/* A delivery that a worker holds. */
struct held {
	uint64_t	 delivery, object;	/* object: id, 0 none */
	char		 event[65];
	uint64_t	 out_ms;		/* since it was given to this worker */
	unsigned	 attempt;
};

/* Its last words: the end of stderr, and the backtrace if it left one (lastwords.h). */
struct last_words {
	char		 lines[OBITUARY_LINES][160];	/* ring */
	size_t		 lines_n;			/* ever */
	char		 crash[160];			/* "SIGSEGV at 0x8"; empty: no backtrace */
	char		 frames[OBITUARY_FRAMES][160];	/* innermost first */
	size_t		 frames_n, frames_cut;		/* kept; not kept */
	unsigned	 in_trace;			/* lastwords.c: whose backtrace is being read */
};

struct obituary {
	enum death	 cause;
	int		 code;			/* exit status, or signal number */
	char		 tag[64];		/* "echo.0#3" */
	pid_t		 pid;
	uint64_t	 generation;
	uint64_t	 age_ms, wall_ms;	/* lived for; died at */
	uint64_t	 running;		/* delivery whose code ran, 0 none */
	uint64_t	 running_ms;		/* for so long; UINT64_MAX not known */
	struct held	 what;			/* about it; delivery 0: it was not held */
	uint64_t	 open;			/* deliveries it held */
	struct held	 held[OBITUARY_HELD];	/* some of them, oldest first */
	size_t		 held_n;
	uint64_t	 scopes;		/* open scopes by its own account */
	uint64_t	 max_rss_kib;		/* its own, not its parent's; 0: it lived too short */
	uint64_t	 user_ms, sys_ms;	/* CPU */
	uint64_t	 fds;			/* when last looked; 0 never */
	uint64_t	 memory_bytes;		/* its limit; 0 none */
	bool		 idle;			/* its scoreboard: no delivery's code ran */
	bool		 was_ready;
	bool		 was_asked;		/* DRAIN had been sent */
	/* "killed by signal 11 (Segmentation fault) while running ..." */
	char		 text[256];
	struct last_words words;
};

/* What is known when a process has been reaped. */
struct death_facts {
	int		 status;		/* of wait4 */
	bool		 blamed;		/* we wanted it dead, for: */
	enum death	 blame;
	const char	*blame_text;		/* may be empty or NULL */
	bool		 asked;			/* DRAIN was sent */
	bool		 oom;			/* the kernel killed in its cgroup for want of memory */
	const char	*program;
	const char	*exec_failed;		/* why its program never began; NULL: it began */
	uint64_t	 hang_ms, stopped_ms, start_deadline_ms;
};

/*
 * Cause, code and the sentence, from the facts; memory_bytes, running, running_ms and what must be
 * set already.  A signal that we sent is no cause; one that came first is.
 */
void	 obituary_judge(struct obituary *, const struct death_facts *);
/*
 * May a delivery be to blame?  Not for an end that was asked for, and not when somebody killed or
 * stopped a worker that was waiting: what it held are 200 answers, not 200 suspects.
 */
bool	 obituary_blames(const struct obituary *);
const char *death_name(enum death);

#endif
