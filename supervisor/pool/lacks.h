/*
 * lacks - what does not keep a program of a pool's own ("exec:") on this machine, and what would.
 *
 * Pure.  What is in force is seen on the process (child_confined); here stands what is not, in words
 * for `show worker`, `bulkheadd -n` and the log.
 */
#ifndef SUPERVISOR_LACKS_H
#define SUPERVISOR_LACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LACKS_MAX	4

struct lacks_of {
	uint64_t	 landlock;		/* the kernel's version, 0 none */
	bool		 own_user;		/* handler_user is set */
	bool		 root;			/* it runs as root */
	bool		 counted;		/* the number of its processes has a bound */
};

/* Sentences, static; how many. */
size_t	 lacks(const struct lacks_of *, const char *out[LACKS_MAX]);

#endif
