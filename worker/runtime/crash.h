/*
 * crash - the last thing a worker says: a backtrace on stderr.
 *
 * For the signals of a crash, and for SIGABRT, which the supervisor sends to a worker that makes no
 * progress.  The format is CONTRACT_CRASH of proto/contract.h.  The signal stays the cause of the
 * death: it is raised again with its default action, and at most a second later when the backtrace
 * does not come to an end (a lock that the crashed code held).
 */
#ifndef WORKER_CRASH_H
#define WORKER_CRASH_H

/* Once, at the start: afterwards the handler allocates nothing. */
void	 crash_init(void);
/*
 * Die as a fault point wants it.  In builds with AddressSanitizer without its report, which is kept
 * for crashes that nobody planned.
 */
void	 crash_planned(void);

#endif
