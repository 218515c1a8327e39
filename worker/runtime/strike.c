/*
 * strike - see strike.h.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/mem.h"
#include "worker/runtime/crash.h"
#include "worker/runtime/strike.h"

#define EAT_MIB		64

/* In a system call that does not return; all signals blocked: not even for a backtrace. */
static void
block(bool deaf)
{
	sigset_t	 all;
	int		 ends[2];
	char		 byte;

	if (pipe(ends) == -1)
		abort();
	sigfillset(&all);
	if (deaf)
		sigprocmask(SIG_BLOCK, &all, NULL);
	while (read(ends[0], &byte, 1) == -1)
		continue;
}

/* Kept for ever and touched, so that it counts. */
static void
eat(size_t bytes)
{
	static char	*eaten[64];
	static size_t	 n;

	if (n == sizeof(eaten) / sizeof(eaten[0]))
		return;
	eaten[n] = mem_alloc(bytes);
	memset(eaten[n++], 0x5a, bytes);
}

static void
spin(void)
{
	for (volatile bool on = true; on;)
		continue;
}

void
strike_delivery(struct span body)
{
	if (!fault_armed_any())
		return;
	if (fault_hits(FAULT_WORKER_CRASH, body))
		crash_planned();
	if (fault_hits(FAULT_WORKER_STOP, body))
		raise(SIGSTOP);
	if (fault_hits(FAULT_WORKER_EAT, body))
		eat((size_t)fault_arg(FAULT_WORKER_EAT, EAT_MIB) << 20);
	if (fault_hits(FAULT_WORKER_BLOCK, body))
		block(fault_arg(FAULT_WORKER_BLOCK, 0) == 1);
	if (fault_hits(FAULT_WORKER_SPIN, body))
		spin();
}
