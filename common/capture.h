/*
 * capture - run a program to its end and hand over what it wrote, without waiting for it.
 *
 * For short-lived helpers (the configuration child, the check of a new binary): bounded in time and
 * in output.  It runs in a process group of its own.  Owner: whoever asked, until fn was called or
 * capture_free.
 */
#ifndef COMMON_CAPTURE_H
#define COMMON_CAPTURE_H

#include "common/loop.h"
#include "common/span.h"

struct capture;

struct capture_spec {
	const char		*program;	/* a path */
	const char *const	*argv;		/* NULL-terminated, with argv[0] */
	struct span		 input;		/* its stdin, sealed; none: /dev/null */
	const char		*env_name;	/* one more variable for it, or NULL */
	const char		*env_value;
	uint64_t		 deadline_ms;	/* then SIGKILL */
	size_t			 out_max, err_max;	/* bytes; a program that writes more is killed */
};

struct capture_result {
	int		 status;	/* as waitpid says it */
	bool		 late;		/* killed at its deadline */
	struct span	 out, err;	/* borrowed; wiped when fn returns */
};

/* fn is called once, in a later turn; the capture is gone then.  NULL with errno. */
struct capture	*capture_new(struct loop *, const struct capture_spec *,
		    void (*fn)(void *arg, const struct capture_result *), void *arg);
/* Before its end: the program is killed, fn is not called.  Waits for the kernel to end it. */
void		 capture_free(struct capture **);

#endif
