/*
 * fence - see fence.h.
 */
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <asm/sockios.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/tiocl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/mem.h"
#include "supervisor/pool/fence.h"

#define LANDLOCK_LEAST	2	/* before, no program could move a file between directories */
#define LANDLOCK_SIGNALS 6
#define DIRENTS_BYTES	8192
#define IOPRIO_USER	3	/* IOPRIO_WHO_USER, whose header came with Linux 5.15 */

#define CGROUPS		"/sys/fs/cgroup"

#define FILES		((CONFINE_READ & ~(1ull << 3)) | CONFINE_CHANGE)	/* names may be listed */

struct fence {
	const struct cfg	*cfg;
	char			*conf;
	const char		*paths[FENCE_PATHS_MAX];	/* of cfg, as written there */
	size_t			 paths_n, closed_n;	/* behind closed_n: they may be read */
	const char		*groups;
	bool			 too_many;
	struct sock_filter	 filter[CONFINE_FILTER_MAX];
	size_t			 filter_n;
};

/* ---- calls ---- */

#define CALL(name)	{ .nr = SYS_##name }

static const struct confine_call refused[] = {
	/* other processes */
	CALL(ptrace), CALL(process_vm_readv), CALL(process_vm_writev), CALL(kcmp),
	CALL(pidfd_getfd), CALL(process_madvise),
	/* Landlock knows nothing of it: a limit of no CPU time kills whoever has the same user. */
	{ .nr = SYS_prlimit64, .arg = 0, .mask = ~0u, .value = 0, .others = true },
	{ .nr = SYS_setpriority, .arg = 0, .mask = ~0u, .value = PRIO_USER },
	{ .nr = SYS_ioprio_set, .arg = 0, .mask = ~0u, .value = IOPRIO_USER },
	/* the file tree and its owners */
	CALL(mount), CALL(umount2), CALL(pivot_root), CALL(fsopen), CALL(fsconfig),
	CALL(fsmount), CALL(fspick), CALL(move_mount), CALL(open_tree), CALL(mount_setattr),
	CALL(setns), CALL(open_by_handle_at), CALL(quotactl),
	/* the kernel */
	CALL(bpf), CALL(perf_event_open), CALL(userfaultfd), CALL(io_uring_setup),
	CALL(kexec_load), CALL(init_module), CALL(finit_module), CALL(delete_module),
	CALL(reboot), CALL(swapon), CALL(swapoff), CALL(syslog), CALL(acct),
	CALL(settimeofday), CALL(clock_settime), CALL(vhangup),
#ifdef SYS_kexec_file_load
	CALL(kexec_file_load),
#endif
#ifdef SYS_iopl
	CALL(iopl), CALL(ioperm),
#endif
	/* keys of the user */
	CALL(keyctl), CALL(add_key), CALL(request_key),
	/* typing into the terminal of who started the supervisor */
	{ .nr = SYS_ioctl, .arg = 1, .mask = ~0u, .value = TIOCSTI },
	{ .nr = SYS_ioctl, .arg = 1, .mask = ~0u, .value = TIOCLINUX },
};

/*
 * What reaches the supervisor by its number: it stays the same, upgrades included, as long as any
 * handler lives.  What siblings are called cannot be known here.
 */
static const struct { uint32_t nr; uint8_t arg; } by_number[] = {
	{ SYS_kill, 0 }, { SYS_tkill, 0 }, { SYS_tgkill, 0 }, { SYS_rt_sigqueueinfo, 0 },
	{ SYS_rt_tgsigqueueinfo, 0 }, { SYS_pidfd_open, 0 }, { SYS_setpgid, 1 },
	{ SYS_setpriority, 1 }, { SYS_ioprio_set, 1 }, { SYS_sched_setscheduler, 0 },
	{ SYS_sched_setparam, 0 }, { SYS_sched_setattr, 0 }, { SYS_sched_setaffinity, 0 },
};
#define BY_NUMBER_N	(sizeof(by_number) / sizeof(by_number[0]))

/* Ways round that take a pointer or a descriptor; before Landlock looks at each signal itself. */
static const struct confine_call signalling[] = {
	CALL(pidfd_send_signal),	/* a directory of /proc will do */
	{ .nr = SYS_fcntl, .arg = 1, .mask = ~0u, .value = F_SETOWN },
	{ .nr = SYS_fcntl, .arg = 1, .mask = ~0u, .value = F_SETOWN_EX },
	{ .nr = SYS_ioctl, .arg = 1, .mask = ~0u, .value = FIOSETOWN },
	{ .nr = SYS_ioctl, .arg = 1, .mask = ~0u, .value = SIOCSPGRP },
};

#define REFUSED_N	(sizeof(refused) / sizeof(refused[0]))
#define SIGNALLING_N	(sizeof(signalling) / sizeof(signalling[0]))
#define CALLS_MAX	(REFUSED_N + 2 * BY_NUMBER_N + 2 + SIGNALLING_N)

/* ---- in the parent ---- */

static size_t
add_call(struct confine_call *calls, size_t n, uint32_t nr, uint8_t arg, pid_t value)
{
	calls[n] = (struct confine_call){ .nr = nr, .arg = arg, .mask = ~0u, .value = (uint32_t)value };
	return n + 1;
}

static size_t
list_calls(struct confine_call *calls)
{
	pid_t	 self = getpid(), group = getpgrp();
	size_t	 n = REFUSED_N;

	memcpy(calls, refused, sizeof(refused));
	for (size_t i = 0; i < BY_NUMBER_N; i++) {
		n = add_call(calls, n, by_number[i].nr, by_number[i].arg, self);
		/* 0: it is one outside of our container, which nobody here can name. */
		if (group != self && group != 0)
			n = add_call(calls, n, by_number[i].nr, by_number[i].arg, group);
	}
	if (group != 0)
		n = add_call(calls, n, SYS_kill, 0, -group);
	n = add_call(calls, n, SYS_kill, 0, -1);
	if (confine_landlock() < LANDLOCK_SIGNALS) {
		memcpy(calls + n, signalling, sizeof(signalling));
		n += SIGNALLING_N;
	}
	return n;
}

struct fence *
fence_new(const struct cfg *cfg, const char *conf, const char *groups)
{
	struct fence		*f = mem_alloc(sizeof(*f));
	struct confine_call	 calls[CALLS_MAX];

	f->cfg = cfg;
	f->conf = conf == NULL ? NULL : mem_strdup(conf);
	f->groups = groups;
	f->filter_n = confine_filter(f->filter, CONFINE_FILTER_MAX, calls, list_calls(calls),
	    SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ALLOW);
	return f;
}

void
fence_free(struct fence **fp)
{
	if (*fp != NULL)
		free((*fp)->conf);
	free(*fp);
	*fp = NULL;
}

static void
hide(struct fence *f, const char *path)
{
	if (path == NULL || path[0] == '\0')
		return;
	if (f->paths_n == FENCE_PATHS_MAX)
		f->too_many = true;
	else
		f->paths[f->paths_n++] = path;
}

void
fence_prepare(struct fence *f)
{
	f->paths_n = 0;
	f->too_many = false;
	hide(f, f->cfg->runtime_dir);
	hide(f, f->conf);
	hide(f, f->cfg->token_file);
	hide(f, getenv("CREDENTIALS_DIRECTORY"));
	for (size_t i = 0; i < f->cfg->models_n; i++)
		hide(f, f->cfg->models[i].api_key_file);
	f->closed_n = f->paths_n;
	hide(f, CGROUPS);
	hide(f, f->groups);
}

uint64_t
fence_landlock(void)
{
	int	 v = confine_landlock();

	return v < LANDLOCK_LEAST ? 0 : (uint64_t)v;
}

/* ---- in the child ---- */

/* In a process that is about to become another program: nothing of it is there afterwards. */
static char	 hidden[FENCE_PATHS_MAX][PATH_MAX];
static size_t	 hidden_n, hidden_closed_n;

/* The path without links, into hidden.  What is not there, or not for us, is not for a handler. */
static void
resolve(const char *path)
{
	char	 link[32];
	int	 fd = open(path, O_PATH | O_CLOEXEC);
	ssize_t	 n;

	if (fd == -1)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, hidden[hidden_n], PATH_MAX - 1);
	close(fd);
	if (n > 0 && hidden[hidden_n][0] == '/') {
		hidden[hidden_n][n] = '\0';
		hidden_n++;
	}
}

enum place { PLACE_OPEN, PLACE_ON_THE_WAY, PLACE_READABLE, PLACE_HIDDEN };

static enum place
place_of(const char *path)
{
	size_t		 n = strlen(path);
	enum place	 found = PLACE_OPEN;

	for (size_t i = 0; i < hidden_n; i++) {
		if (strncmp(hidden[i], path, n) != 0)
			continue;
		if (hidden[i][n] == '\0')
			return i < hidden_closed_n ? PLACE_HIDDEN : PLACE_READABLE;
		if (hidden[i][n] == '/')
			found = PLACE_ON_THE_WAY;
	}
	return found;
}

/* A linux_dirent64: 8 bytes inode, 8 offset, 2 length of the record, 1 type, then the name. */
#define RECORD_LENGTH	16
#define RECORD_NAME	19

static void	 open_rest(int rules, char *path, size_t n);

static void
open_entry(int rules, int dir, char *path, size_t n, const char *name)
{
	size_t	 name_n = strlen(name);

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || n + 1 + name_n >= PATH_MAX)
		return;
	path[n] = '/';
	memcpy(path + n + 1, name, name_n + 1);
	switch (place_of(path)) {
	case PLACE_OPEN:
		(void)confine_allow(rules, dir, name, FILES);	/* gone meanwhile: so be it */
		break;
	case PLACE_ON_THE_WAY:
		open_rest(rules, path, n + 1 + name_n);
		break;
	case PLACE_READABLE:
		(void)confine_allow(rules, dir, name, FILES & CONFINE_READ);
		break;
	case PLACE_HIDDEN:
		break;
	}
	path[n] = '\0';
}

/* Everything in the directory path (n bytes of it, "" for the root) but what is hidden. */
static void
open_rest(int rules, char *path, size_t n)
{
	char	 records[DIRENTS_BYTES] __attribute__((aligned(8)));
	int	 dir = open(n == 0 ? "/" : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long	 got;

	if (dir == -1)
		return;
	while ((got = syscall(SYS_getdents64, dir, records, sizeof(records))) > 0) {
		for (long at = 0; at < got;) {
			uint16_t	 length;

			memcpy(&length, records + at + RECORD_LENGTH, sizeof(length));
			open_entry(rules, dir, path, n, records + at + RECORD_NAME);
			at += length;
		}
	}
	close(dir);
}

static int
enter_landlock(const struct fence *f)
{
	static char	 path[PATH_MAX];
	int		 rules;

	if (fence_landlock() == 0)
		return 0;
	if (f->too_many) {
		errno = E2BIG;
		return -1;
	}
	if ((rules = confine_rules(FILES, 0, CONFINE_SIGNAL)) == -1)
		return -1;
	for (size_t i = 0; i < f->paths_n; i++) {
		resolve(f->paths[i]);
		if (i < f->closed_n)
			hidden_closed_n = hidden_n;
	}
	open_rest(rules, path, 0);
	return confine_enter(rules);
}

/*
 * Of root's powers those that look into other processes or change the machine; of another user
 * there are none to drop.  What is not in the bounding set is gone with exec.
 */
static void
drop_powers(void)
{
	static const int	 powers[] = {
		CAP_SYS_PTRACE, CAP_PERFMON, CAP_BPF, CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN,
		CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_BOOT, CAP_SYS_TIME, CAP_SYSLOG, CAP_DAC_READ_SEARCH,
		CAP_MAC_ADMIN, CAP_MAC_OVERRIDE, CAP_LINUX_IMMUTABLE,
	};

	for (size_t i = 0; i < sizeof(powers) / sizeof(powers[0]); i++)
		(void)prctl(PR_CAPBSET_DROP, powers[i], 0, 0, 0);
}

int
fence_enter(const struct fence *f)
{
	drop_powers();
	if (enter_landlock(f) == -1)
		return -1;
	/* Without it the rest holds; /proc/PID/status says so, and so does show worker. */
	(void)confine_calls(f->filter, f->filter_n);
	return 0;
}
