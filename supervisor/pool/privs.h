/*
 * privs - users of their own for the supervisor, the rest workers and the handlers.
 *
 * Started as root, the supervisor becomes `user` once configuration and token are read.  To start
 * workers as others and to end them it keeps three capabilities and no more: CAP_SETUID, CAP_SETGID,
 * CAP_KILL; without rest_user and handler_user none.  Started as another user with these capabilities,
 * as the systemd units do it, it keeps as many.  It can still become any user, root's files
 * included: what it cannot any more is everything else that root may (SECBIT_NOROOT: even as uid 0).
 * They are ambient, so that the program that an upgrade starts has them too.
 */
#ifndef SUPERVISOR_POOL_PRIVS_H
#define SUPERVISOR_POOL_PRIVS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/cfg.h"

#define PRIVS_GROUPS_MAX	64

struct privs_user {
	bool	 set;			/* false: whoever the supervisor is */
	uid_t	 uid;
	gid_t	 gid;
	gid_t	 groups[PRIVS_GROUPS_MAX];
	int	 groups_n;
};

struct privs {
	struct privs_user	 own, rest, handler;
};

/*
 * Who they are, by the system's users.  Before the loop runs: a directory service may take its time.
 * 0, or -1 with a sentence.
 */
int	 privs_find(const struct cfg *, struct privs *, char *why, size_t why_bytes);
/*
 * Become `user`.  runtime_dir is made, and what root's runs left there is given over; conf and the
 * files that it names have to be readable afterwards: a reload reads them again.  0, or -1 with a
 * sentence.
 */
int	 privs_take(const struct privs *, const struct cfg *, const char *conf, char *why,
	     size_t why_bytes);
/* We are root and shall be: nobody asked for another user. */
bool	 privs_stays_root(const struct cfg *);
/* In a child, before exec, system calls only: become that user for good.  0, or -1 with errno. */
int	 privs_become(const struct privs_user *);

#endif
