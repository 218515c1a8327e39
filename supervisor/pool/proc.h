/*
 * proc - the few facts of /proc/PID that supervision needs.
 *
 * Source: proc(5).  Field 2 of stat is the program's name in parentheses and may hold anything, so
 * fields are counted from the last closing one.  None of these files waits for a lock that a hung
 * process may hold (cmdline, maps and smaps would).
 */
#ifndef SUPERVISOR_POOL_PROC_H
#define SUPERVISOR_POOL_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/span.h"

struct proc_stat {
	char		 state;		/* R S D T t Z X */
	pid_t		 ppid;
	uint64_t	 starttime;	/* ticks since boot; with the pid it is unique */
	uint64_t	 rss_kib;
};

/* False when there is no such process, or /proc does not say. */
bool	 proc_stat(pid_t, struct proc_stat *);

struct proc_status {
	uint64_t	 rss_kib;	/* VmRSS: what of its memory is resident */
	uint64_t	 hwm_kib;	/* VmHWM: its largest resident set since exec */
	uint64_t	 uid;		/* the real one */
	uint64_t	 no_new_privs;	/* 1: set */
	uint64_t	 seccomp;	/* 2: a filter */
};

/* False as above, and for a process that is dead and not reaped: it has no memory any more. */
bool	 proc_status(pid_t, struct proc_status *);
/* The parser of it; text is the whole file. */
bool	 proc_status_parse(struct span text, struct proc_status *);

/* Open descriptors; 0 when they may not be counted. */
uint64_t proc_fds(pid_t);

#endif
