/*
 * confine - see confine.h.
 */
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/confine.h"

/* The same numbers on every machine since 5.13; older headers do not have them. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset	444
#define SYS_landlock_add_rule		445
#define SYS_landlock_restrict_self	446
#endif

/* As the newest kernel knows it; an older one takes it as long as what it does not know is 0. */
struct ruleset {
	uint64_t	 files, tcp, scope;
};

struct rule_beneath {
	uint64_t	 allowed;
	int32_t		 parent;
} __attribute__((packed));

#define ASK_VERSION	1u
#define RULE_BENEATH	1
#define FILE_RIGHTS	(1ull << 0 | 1ull << 1 | 1ull << 2 | 1ull << 14 | 1ull << 15)

/* What each version brought. */
static uint64_t
known_files(int version)
{
	uint64_t	 all = 0x1fff;

	if (version >= 2)
		all |= 1ull << 13;
	if (version >= 3)
		all |= 1ull << 14;
	if (version >= 5)
		all |= 1ull << 15;
	return all;
}

int
confine_landlock(void)
{
	static int	 version = -1;

	if (version == -1) {
		version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);
		if (version < 0)
			version = 0;
	}
	return version;
}

int
confine_rules(uint64_t files, uint64_t tcp, uint64_t scope)
{
	int		 v = confine_landlock();
	struct ruleset	 r = {
		.files = files & known_files(v),
		.tcp = v >= 4 ? tcp : 0,
		.scope = v >= 6 ? scope : 0,
	};

	if (v == 0) {
		errno = ENOSYS;
		return -1;
	}
	return (int)syscall(SYS_landlock_create_ruleset, &r, sizeof(r), 0);
}

int
confine_allow(int rules, int dir, const char *path, uint64_t files)
{
	struct rule_beneath	 b;
	struct stat		 st;
	int			 fd, rc = -1, err;

	if ((fd = openat(dir, path, O_PATH | O_NOFOLLOW | O_CLOEXEC)) == -1)
		return -1;
	b = (struct rule_beneath){ files & known_files(confine_landlock()), fd };
	if (fstat(fd, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			b.allowed &= FILE_RIGHTS;
		rc = (int)syscall(SYS_landlock_add_rule, rules, RULE_BENEATH, &b, 0);
	}
	err = errno;
	close(fd);
	errno = err;
	return rc;
}

int
confine_enter(int rules)
{
	int	 rc = (int)syscall(SYS_landlock_restrict_self, rules, 0);
	int	 err = errno;

	close(rules);
	errno = err;
	return rc;
}

/* ---- seccomp ---- */

#if defined(__x86_64__)
#define OUR_ARCH	AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH	AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define OUR_ARCH	AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define OUR_ARCH	AUDIT_ARCH_PPC64LE
#endif

#define NEWEST_CALL	450	/* what came after is not known here: programs then try an older way */
#define NO_SUCH_CALL	(SECCOMP_RET_ERRNO | ENOSYS)
#define DATA(field)	((uint32_t)offsetof(struct seccomp_data, field))

struct writer {
	struct sock_filter	*dst;
	size_t			 n, max;
	bool			 full;
};

static void
put(struct writer *w, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	if (w->n == w->max)
		w->full = true;
	else
		w->dst[w->n++] = (struct sock_filter){ code, jt, jf, k };
}

#define LOAD(off)		put(&w, BPF_LD | BPF_W | BPF_ABS, (off), 0, 0)
#define RETURN(v)		put(&w, BPF_RET | BPF_K, (v), 0, 0)
/* Go on behind the next n instructions unless the comparison holds. */
#define UNLESS(op, v, n)	put(&w, BPF_JMP | (op) | BPF_K, (v), 0, (n))

size_t
confine_filter(struct sock_filter *dst, size_t max, const struct confine_call *calls, size_t n,
    uint32_t listed, uint32_t other)
{
#ifdef OUR_ARCH
	struct writer	 w = { .dst = dst, .max = max };

	LOAD(DATA(arch));
	put(&w, BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0);
	RETURN(NO_SUCH_CALL);
	LOAD(DATA(nr));
	UNLESS(BPF_JGT, NEWEST_CALL, 1);
	RETURN(NO_SUCH_CALL);
	for (size_t i = 0; i < n; i++) {
		const struct confine_call	*c = &calls[i];

		if (c->mask == 0) {
			UNLESS(BPF_JEQ, c->nr, 1);
			RETURN(listed);
			continue;
		}
		UNLESS(BPF_JEQ, c->nr, 5);
		LOAD(DATA(args) + 8u * c->arg);		/* its low half: little endian */
		put(&w, BPF_ALU | BPF_AND | BPF_K, c->mask, 0, 0);
		put(&w, BPF_JMP | BPF_JEQ | BPF_K, c->value, c->others, !c->others);
		RETURN(listed);
		LOAD(DATA(nr));				/* the same call may stand there again */
	}
	RETURN(other);
	return w.full ? 0 : w.n;
#else
	(void)dst;
	(void)max;
	(void)calls;
	(void)n;
	(void)listed;
	(void)other;
	return 0;
#endif
}

int
confine_calls(const struct sock_filter *filter, size_t n)
{
	struct sock_fprog	 prog = { .len = (unsigned short)n };

	if (n == 0) {
		errno = EINVAL;
		return -1;
	}
	memcpy(&prog.filter, &filter, sizeof(filter));	/* the kernel does not write there */
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
}
