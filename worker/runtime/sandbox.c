/*
 * sandbox - see sandbox.h.
 */
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/log.h"
#include "worker/runtime/sandbox.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED	true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED	true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED	false
#endif

/* What a role keeps beside memory, time, signals to itself and the descriptors it has. */
enum keep {
	KEEP_FILES	= 1,	/* reading the system's files: names, certificates, time zones */
	KEEP_NET	= 2,	/* connections to others */
	KEEP_SERVE	= 4,	/* and from others */
};

static const struct role {
	const char	*name;
	unsigned	 keep;
} roles[] = {
	{ "echo", 0 },
	{ "chat", KEEP_FILES | KEEP_NET },
	{ "rest", KEEP_FILES | KEEP_NET },
	{ "web", KEEP_FILES | KEEP_NET | KEEP_SERVE },
};

/* ---- system calls ---- */

#define CALL(name)	{ .nr = SYS_##name }

static const struct confine_call core_calls[] = {
	CALL(read), CALL(write), CALL(readv), CALL(writev), CALL(close), CALL(lseek),
	CALL(fstat), CALL(newfstatat), CALL(statx), CALL(recvmsg), CALL(sendmsg),
	CALL(recvfrom), CALL(sendto), CALL(shutdown), CALL(getsockopt), CALL(setsockopt),
	CALL(getsockname), CALL(getpeername), CALL(socketpair), CALL(epoll_ctl),
	CALL(epoll_pwait), CALL(epoll_create1), CALL(eventfd2), CALL(pipe2), CALL(dup),
	CALL(dup3), CALL(fcntl), CALL(ioctl), CALL(ppoll), CALL(pselect6),
	CALL(timerfd_create), CALL(timerfd_settime), CALL(timerfd_gettime), CALL(signalfd4),
	CALL(mmap), CALL(mprotect), CALL(munmap), CALL(mremap), CALL(brk), CALL(madvise),
	CALL(futex), CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn),
	CALL(rt_sigpending), CALL(rt_sigtimedwait), CALL(sigaltstack), CALL(setitimer),
	CALL(getitimer), CALL(restart_syscall), CALL(exit), CALL(exit_group), CALL(getpid),
	CALL(gettid), CALL(getppid), CALL(getuid), CALL(geteuid), CALL(getgid), CALL(getegid),
	CALL(getrandom), CALL(clock_gettime), CALL(clock_getres), CALL(clock_nanosleep),
	CALL(nanosleep), CALL(gettimeofday), CALL(times), CALL(getrusage), CALL(prlimit64),
	CALL(sysinfo), CALL(uname), CALL(prctl), CALL(sched_yield), CALL(sched_getaffinity),
	CALL(set_robust_list), CALL(membarrier), CALL(pread64), CALL(pwrite64),
#ifdef SYS_rseq
	CALL(rseq),
#endif
#ifdef SYS_epoll_pwait2
	CALL(epoll_pwait2),
#endif
	/* Older ways, of machines that have them. */
#ifdef SYS_epoll_wait
	CALL(epoll_wait),
#endif
#ifdef SYS_poll
	CALL(poll),
#endif
#ifdef SYS_select
	CALL(select),
#endif
#ifdef SYS_pipe
	CALL(pipe),
#endif
#ifdef SYS_dup2
	CALL(dup2),
#endif
#ifdef SYS_time
	CALL(time),
#endif
#ifdef SYS_getrlimit
	CALL(getrlimit),
#endif
#ifdef SYS_alarm
	CALL(alarm),
#endif
#ifdef SYS_eventfd
	CALL(eventfd),
#endif
};

static const struct confine_call file_calls[] = {
	CALL(openat), CALL(faccessat), CALL(readlinkat), CALL(getdents64), CALL(getcwd),
	CALL(statfs), CALL(fstatfs),
#ifdef SYS_faccessat2
	CALL(faccessat2),
#endif
#ifdef SYS_open
	CALL(open),
#endif
#ifdef SYS_access
	CALL(access),
#endif
#ifdef SYS_stat
	CALL(stat),
#endif
#ifdef SYS_lstat
	CALL(lstat),
#endif
#ifdef SYS_readlink
	CALL(readlink),
#endif
};

/* bind: a name server is asked from a port of our choice. */
static const struct confine_call net_calls[] = {
	CALL(socket), CALL(connect), CALL(bind), CALL(sendmmsg), CALL(recvmmsg),
};

static const struct confine_call serve_calls[] = {
	CALL(listen), CALL(accept4),
#ifdef SYS_accept
	CALL(accept),
#endif
};

#define CALLS_MAX	200

struct call_list {
	struct confine_call	 v[CALLS_MAX];
	size_t			 n;
};

static void
add(struct call_list *l, const struct confine_call *v, size_t n)
{
	if (l->n + n > CALLS_MAX)
		abort();
	memcpy(&l->v[l->n], v, n * sizeof(*v));
	l->n += n;
}

#define ADD(l, list)	add((l), (list), sizeof(list) / sizeof((list)[0]))

static int
give_up_calls(unsigned keep)
{
	const uint32_t		 self = (uint32_t)getpid();
	const struct confine_call to_self[] = {
		{ .nr = SYS_kill, .arg = 0, .mask = ~0u, .value = self },
		{ .nr = SYS_tgkill, .arg = 0, .mask = ~0u, .value = self },
	};
	struct sock_filter	 filter[CONFINE_FILTER_MAX];
	struct call_list	 l = { .n = 0 };

	ADD(&l, core_calls);
	ADD(&l, to_self);
	if ((keep & KEEP_FILES) != 0)
		ADD(&l, file_calls);
	if ((keep & KEEP_NET) != 0)
		ADD(&l, net_calls);
	if ((keep & KEEP_SERVE) != 0)
		ADD(&l, serve_calls);
	return confine_calls(filter, confine_filter(filter, CONFINE_FILTER_MAX, l.v, l.n,
	    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | EPERM));
}

/* ---- files and connections ---- */

/* Where a system keeps what names and certificates need, /etc/resolv.conf's target included. */
static const char *const system_places[] = {
	"/etc", "/usr", "/lib", "/lib64", "/run/systemd/resolve", "/run/NetworkManager",
	"/run/resolvconf", "/run/connman",
};

/* Links lead somewhere: what is allowed is where they end. */
static void
allow_place(int rules, const char *path)
{
	char	 real[PATH_MAX];

	if (realpath(path, real) != NULL && confine_allow(rules, AT_FDCWD, real, CONFINE_READ) == -1)
		log_debug("sandbox: %s: %s", real, strerror(errno));
}

/* Its directory: it is replaced by a new file when it changes. */
static void
allow_around(int rules, const char *path)
{
	char	*copy = path == NULL ? NULL : strdup(path);

	if (copy != NULL)
		allow_place(rules, dirname(copy));
	free(copy);
	if (path != NULL)
		allow_place(rules, path);
}

static int
give_up_files(unsigned keep, const struct sandbox_files *f)
{
	uint64_t	 tcp = CONFINE_BIND | CONFINE_CONNECT;
	int		 rules;

	if ((keep & KEEP_NET) != 0)
		tcp &= ~CONFINE_CONNECT;
	if ((keep & KEEP_SERVE) != 0)
		tcp &= ~CONFINE_BIND;
	rules = confine_rules(CONFINE_READ | CONFINE_EXECUTE | CONFINE_CHANGE | CONFINE_DEVICES, tcp,
	    CONFINE_ABSTRACT | CONFINE_SIGNAL);
	if (rules == -1)
		return -1;
	if ((keep & KEEP_FILES) != 0) {
		for (size_t i = 0; i < sizeof(system_places) / sizeof(system_places[0]); i++)
			allow_place(rules, system_places[i]);
		allow_around(rules, f->resolv_conf);
		if (f->ca_file != NULL)
			allow_place(rules, f->ca_file);
	}
	return confine_enter(rules);
}

void
sandbox_enter(struct span role, const struct sandbox_files *f, struct board *board)
{
	const struct role	*r = NULL;

	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (span_is(role, roles[i].name))
			r = &roles[i];
	if (r == NULL || SANITIZED)
		return;
	/* The supervisor has set it; without one (a test) it is set here. */
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (give_up_files(r->keep, f) == 0)
		atomic_store_explicit(&board->landlock, (uint64_t)confine_landlock(),
		    memory_order_relaxed);
	else
		log_debug("sandbox: no Landlock: %s", strerror(errno));
	if (give_up_calls(r->keep) == -1)
		log_debug("sandbox: no seccomp: %s", strerror(errno));
}
