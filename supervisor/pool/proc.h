/*
 * proc - the few facts of /proc/PID/stat that supervision needs.
 *
 * Source: proc(5).  Field 2 is the program's name in parentheses and may hold anything, so fields
 * are counted from the last closing one.
 */
#ifndef SUPERVISOR_POOL_PROC_H
#define SUPERVISOR_POOL_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_stat {
	char		 state;		/* R S D T t Z X */
	pid_t		 ppid;
	uint64_t	 starttime;	/* ticks since boot; with the pid it is unique */
	uint64_t	 rss_kib;
};

/* False when there is no such process, or /proc does not say. */
bool	 proc_stat(pid_t, struct proc_stat *);

#endif
