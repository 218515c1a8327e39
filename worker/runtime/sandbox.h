/*
 * sandbox - what a built-in worker gives up once everything that its role needs is built.
 *
 * A row of the table in sandbox.c says what each role keeps.  Where the kernel lacks a part, the
 * rest holds; the supervisor shows what is in force (`bulkheadctl show worker`).  A build with a
 * sanitizer gives up nothing: its runtime reads /proc, forks and traces itself at the end.
 */
#ifndef WORKER_SANDBOX_H
#define WORKER_SANDBOX_H

#include "common/span.h"
#include "proto/contract.h"

struct sandbox_files {
	const char	*resolv_conf, *ca_file;		/* NULL: the system's */
};

/* Once, before READY; never fails: what could not be given up is logged. */
void	 sandbox_enter(struct span role, const struct sandbox_files *, struct board *);

#endif
