/*
 * confine - what a process gives up for good: Landlock and seccomp, as far as the kernel has them.
 *
 * System calls only, no memory is allocated: may be used between fork and exec.  Both need
 * no_new_privs; both are inherited by everything that the process starts.
 *
 * Source: landlock(7), seccomp(2); the constants of kernels newer than the headers are ours to name.
 */
#ifndef COMMON_CONFINE_H
#define COMMON_CONFINE_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Landlock ---- */

/* Rights on files, in groups; those that this kernel does not know are left out. */
#define CONFINE_READ	(1ull << 2 | 1ull << 3)		/* files, directories */
#define CONFINE_EXECUTE	(1ull << 0)
/* write, make, remove, move, cut short */
#define CONFINE_CHANGE	(1ull << 1 | 0x1ff0ull | 1ull << 13 | 1ull << 14)
#define CONFINE_DEVICES	(1ull << 15)			/* ioctl of devices */
/* TCP */
#define CONFINE_BIND	(1ull << 0)
#define CONFINE_CONNECT	(1ull << 1)
/* To processes outside. */
#define CONFINE_ABSTRACT (1ull << 0)			/* abstract Unix sockets */
#define CONFINE_SIGNAL	(1ull << 1)

/* Version of Landlock that this kernel speaks; 0: none.  Asked once. */
int	 confine_landlock(void);
/*
 * A set of rules that takes away all of files, tcp and scope but what confine_allow gives back.
 * A descriptor (close-on-exec), or -1 with errno.
 */
int	 confine_rules(uint64_t files, uint64_t tcp, uint64_t scope);
/*
 * Give back rights below a path, which is opened from dir (AT_FDCWD) and not followed when it is a
 * link in its last part.  0, or -1 with errno: ENOENT.
 *	files	of a file that is no directory only those that fit one are given
 */
int	 confine_allow(int rules, int dir, const char *path, uint64_t files);
/* From here on, for ever; closes rules.  0, or -1 with errno. */
int	 confine_enter(int rules);

/* ---- seccomp ---- */

#define CONFINE_FILTER_MAX 1024

/* A system call and, when mask is not 0, the only values of one argument that are meant. */
struct confine_call {
	uint32_t	 nr;
	uint8_t		 arg;		/* 0..5 */
	bool		 others;	/* all values but that one are meant */
	uint32_t	 mask;		/* 0: whatever the arguments are */
	uint32_t	 value;		/* low 32 bits of the argument, & mask */
};

/*
 * Write a filter.
 *	listed	what becomes of a call of the list, and other of the rest: SECCOMP_RET_...
 * Calls that do not belong to this machine's ABI, and those newer than this build, get ENOSYS.
 * Its length; 0: it does not fit.
 */
size_t	 confine_filter(struct sock_filter *dst, size_t max, const struct confine_call *calls,
	     size_t n, uint32_t listed, uint32_t other);
/* From here on, for ever.  0, or -1 with errno: EINVAL, this kernel has none. */
int	 confine_calls(const struct sock_filter *, size_t n);

#endif
