/*
 * cgroup - see cgroup.h.
 */
#include <sys/stat.h>
#include <sys/xattr.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/pool/cgroup.h"

#define PREFIX		"bulkhead-"
#define PROC_BYTES	(64u << 10)	/* of /proc/self/mountinfo; a larger one is not looked through */

const char *
cgroup_version_name(enum cgroup_version v)
{
	return v == CGROUP_V2 ? "cgroup v2" : v == CGROUP_V1 ? "cgroup v1" : "none";
}

static void __attribute__((format(printf, 2, 3)))
without(struct cgroups *cg, const char *fmt, ...)
{
	va_list	 ap;

	cg->version = CGROUP_NONE;
	va_start(ap, fmt);
	(void)vsnprintf(cg->why, sizeof(cg->why), fmt, ap);
	va_end(ap);
}

/* ---- where it is ---- */

/* Up to sep, which is taken off s; all of s when there is none. */
static struct span
take(struct span *s, char sep)
{
	const char	*at = s->n == 0 ? NULL : memchr(s->p, sep, s->n);
	struct span	 head = *s;

	if (at == NULL) {
		*s = SPAN_NONE;
		return head;
	}
	head.n = (size_t)(at - s->p);
	*s = span_make(at + 1, s->n - head.n - 1);
	return head;
}

static bool
lists(struct span words, char sep, const char *word)
{
	while (words.n > 0) {
		if (span_is(take(&words, sep), word))
			return true;
	}
	return false;
}

/* "4:memory:/a/b" of version 1, else "0::/a/b" of version 2. */
static bool
own_group(struct span text, enum cgroup_version *version_r, struct span *group_r)
{
	*version_r = CGROUP_NONE;
	while (text.n > 0) {
		struct span	 line = take(&text, '\n');
		struct span	 number = take(&line, ':'), controllers = take(&line, ':');

		if (lists(controllers, ',', "memory")) {
			*version_r = CGROUP_V1;
			*group_r = line;
			return true;
		}
		if (span_is(number, "0") && controllers.n == 0) {
			*version_r = CGROUP_V2;
			*group_r = line;
		}
	}
	return *version_r != CGROUP_NONE;
}

/* Where that hierarchy is mounted, and which of its groups is the root there. */
static bool
own_mount(struct span text, enum cgroup_version version, struct span *at_r, struct span *root_r)
{
	while (text.n > 0) {
		struct span	 line = take(&text, '\n'), word = SPAN_NONE, type;

		for (int i = 0; i < 3; i++)
			(void)take(&line, ' ');
		*root_r = take(&line, ' ');
		*at_r = take(&line, ' ');
		while (line.n > 0 && !span_is(word, "-"))
			word = take(&line, ' ');
		type = take(&line, ' ');
		(void)take(&line, ' ');
		if (version == CGROUP_V2 ? span_is(type, "cgroup2") :
		    span_is(type, "cgroup") && lists(line, ',', "memory"))
			return true;
	}
	return false;
}

bool
cgroup_find(struct span self, struct span mounts, struct cgroups *cg)
{
	const size_t	 leaf = sizeof("/" CGROUP_SELF) - 1;
	struct span	 group, at, root;
	int		 n;

	memset(cg, 0, sizeof(*cg));
	if (!own_group(self, &cg->version, &group)) {
		without(cg, "this process is in no control group");
		return false;
	}
	if (!own_mount(mounts, cg->version, &at, &root)) {
		without(cg, "no control group that accounts for memory is mounted");
		return false;
	}
	if (root.n > 1 && group.n >= root.n && memcmp(group.p, root.p, root.n) == 0)
		group = span_make(group.p + root.n, group.n - root.n);
	if (group.n >= leaf && memcmp(group.p + group.n - leaf, "/" CGROUP_SELF, leaf) == 0)
		group.n -= leaf;
	if (span_is(group, "/"))
		group.n = 0;
	n = snprintf(cg->path, sizeof(cg->path), "%.*s%.*s", (int)at.n, at.p, (int)group.n,
	    group.n == 0 ? "" : group.p);
	if (n < 0 || (size_t)n >= sizeof(cg->path)) {
		without(cg, "the path of its control group is too long");
		return false;
	}
	return true;
}

/* ---- its files ---- */

/* The file, or as much of it as fits, with a NUL behind it; -1: there is none. */
static ssize_t
read_at(const char *dir, const char *name, char *dst, size_t dst_bytes)
{
	char	 path[CGROUP_PATH_BYTES + 64];
	ssize_t	 n, all = 0;
	int	 fd;

	snprintf(path, sizeof(path), "%s%s%s", dir, dir[0] == '\0' ? "" : "/", name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return -1;
	while ((size_t)all < dst_bytes - 1 &&
	    (n = read(fd, dst + all, dst_bytes - 1 - (size_t)all)) > 0)
		all += n;
	close(fd);
	dst[all] = '\0';
	return all;
}

static int
write_at(const char *dir, const char *name, const char *text)
{
	char	 path[CGROUP_PATH_BYTES + 64];
	ssize_t	 n;
	int	 fd, err;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if ((fd = open(path, O_WRONLY | O_CLOEXEC)) == -1)
		return -1;
	n = write(fd, text, strlen(text));
	err = errno;
	close(fd);
	errno = err;
	return n == -1 ? -1 : 0;
}

static bool
is_there(const char *dir, const char *name)
{
	char	 path[CGROUP_PATH_BYTES + 64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static bool
file_lists(const char *dir, const char *name, const char *word)
{
	char	 text[512];
	ssize_t	 n = read_at(dir, name, text, sizeof(text));

	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	return n > 0 && lists(span_make(text, (size_t)n), ' ', word);
}

/* The number behind "name " at the beginning of a line; 0 when there is none. */
static uint64_t
number_of(const char *text, const char *name)
{
	struct span	 rest = span_of(text);
	uint64_t	 v;

	while (rest.n > 0) {
		struct span	 line = take(&rest, '\n');

		if (span_is(take(&line, ' '), name) && span_u64(line, &v))
			return v;
	}
	return 0;
}

/* ---- the delegated directory ---- */

/* Whoever manages the tree says so, or made our user its owner. */
static bool
is_delegated(const char *path)
{
	static const char *const names[] = { "user.delegate", "trusted.delegate" };
	struct stat		 st;
	char			 v[8];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (getxattr(path, names[i], v, sizeof(v)) == 1 && v[0] == '1')
			return true;
	}
	return geteuid() != 0 && stat(path, &st) == 0 && st.st_uid == geteuid();
}

/* A group with processes hands nothing down: out of the way, into a group below. */
static int
step_aside(struct cgroups *cg)
{
	char	 leaf[CGROUP_PATH_BYTES + 64];

	snprintf(leaf, sizeof(leaf), "%s/%s", cg->path, CGROUP_SELF);
	if ((mkdir(leaf, 0755) == -1 && errno != EEXIST) || write_at(leaf, "cgroup.procs", "0") == -1)
		return -1;
	cg->moved = true;
	return 0;
}

static void
step_back(struct cgroups *cg)
{
	char	 leaf[CGROUP_PATH_BYTES + 64];

	snprintf(leaf, sizeof(leaf), "%s/%s", cg->path, CGROUP_SELF);
	if (cg->moved && write_at(cg->path, "cgroup.procs", "0") == 0)
		(void)rmdir(leaf);
	cg->moved = false;
}

/* Memory, and processes where they are counted: version 2 alone has both in one place. */
static bool
hand_down(struct cgroups *cg)
{
	bool	 pids = file_lists(cg->path, "cgroup.controllers", "pids");

	if ((!file_lists(cg->path, "cgroup.subtree_control", "memory") ||
	    (pids && !file_lists(cg->path, "cgroup.subtree_control", "pids"))) &&
	    write_at(cg->path, "cgroup.subtree_control", pids ? "+memory +pids" : "+memory") == -1)
		return false;
	cg->pids = pids;
	return true;
}

static void
take_v2(struct cgroups *cg)
{
	if (!file_lists(cg->path, "cgroup.controllers", "memory")) {
		without(cg, "%s has no memory controller", cg->path);
		return;
	}
	if (hand_down(cg) || (errno == EBUSY && step_aside(cg) == 0 && hand_down(cg)))
		return;
	without(cg, "%s does not hand the memory controller down: %s", cg->path, strerror(errno));
	step_back(cg);
}

void
cgroups_take(struct cgroups *cg, const char *path)
{
	memset(cg, 0, sizeof(*cg));
	if (strlcpy(cg->path, path, sizeof(cg->path)) >= sizeof(cg->path) - 128) {
		without(cg, "the path of the control group is too long");
		return;
	}
	if (is_there(path, "cgroup.controllers")) {
		cg->version = CGROUP_V2;
		take_v2(cg);
	} else if (is_there(path, "memory.limit_in_bytes")) {
		cg->version = CGROUP_V1;
		if (access(path, W_OK) == -1)
			without(cg, "%s: %s", path, strerror(errno));
	} else {
		without(cg, "%s is no control group that accounts for memory", path);
	}
	cgroups_sweep(cg, true);
}

void
cgroups_init(struct cgroups *cg, const char *option)
{
	char	*self, *mounts, path[CGROUP_PATH_BYTES];

	memset(cg, 0, sizeof(*cg));
	if (strcmp(option, "none") == 0) {
		without(cg, "option cgroup is none");
		return;
	}
	if (strcmp(option, "auto") != 0) {
		cgroups_take(cg, option);
		if (cg->version == CGROUP_NONE)
			log_warnx("option cgroup: %s: memory limits are kept by looking", cg->why);
		return;
	}
	self = calloc(1, PROC_BYTES);
	mounts = calloc(1, PROC_BYTES);
	if (self == NULL || mounts == NULL || read_at("", "/proc/self/cgroup", self, PROC_BYTES) == -1 ||
	    read_at("", "/proc/self/mountinfo", mounts, PROC_BYTES) == -1) {
		without(cg, "/proc does not say which control group this process is in");
	} else if (cgroup_find(span_of(self), span_of(mounts), cg)) {
		strlcpy(path, cg->path, sizeof(path));
		if (is_delegated(path))
			cgroups_take(cg, path);
		else
			without(cg, "no control group is delegated to this process (Delegate=yes, or option cgroup)");
	}
	free(self);
	free(mounts);
}

void
cgroups_fini(struct cgroups *cg)
{
	cgroups_sweep(cg, true);
	if (cg->version == CGROUP_V2)
		step_back(cg);
	cg->version = CGROUP_NONE;
}

/* "bulkhead-1234-echo.0#1": of a supervisor that is gone, or of this one. */
static bool
is_to_sweep(const char *name, bool ours)
{
	char	*end;
	long	 pid;

	if (strncmp(name, PREFIX, sizeof(PREFIX) - 1) != 0)
		return false;
	pid = strtol(name + sizeof(PREFIX) - 1, &end, 10);
	if (pid <= 0 || *end != '-')
		return false;
	if (pid == getpid())
		return ours;
	return kill((pid_t)pid, 0) == -1 && errno == ESRCH;
}

void
cgroups_sweep(const struct cgroups *cg, bool ours)
{
	struct dirent	*e;
	DIR		*d;

	if (cg->version == CGROUP_NONE || (d = opendir(cg->path)) == NULL)
		return;
	/* One with a process in it stays: rmdir says EBUSY. */
	while ((e = readdir(d)) != NULL) {
		if (is_to_sweep(e->d_name, ours))
			(void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	}
	closedir(d);
}

/* ---- one worker ---- */

static int
set_limits(const struct cgroups *cg, const char *path, uint64_t memory_bytes, uint64_t processes)
{
	char	 text[24];

	if (processes != 0 && cg->pids) {
		snprintf(text, sizeof(text), "%" PRIu64, processes);
		if (write_at(path, "pids.max", text) == -1)
			return -1;
	}
	if (memory_bytes == 0)
		return 0;
	snprintf(text, sizeof(text), "%" PRIu64, memory_bytes);
	if (write_at(path, cg->version == CGROUP_V2 ? "memory.max" : "memory.limit_in_bytes",
	    text) == -1)
		return -1;
	/* Else it would swap instead.  Kernels without swap accounting lack these. */
	if (cg->version == CGROUP_V2) {
		(void)write_at(path, "memory.swap.max", "0");
		(void)write_at(path, "memory.oom.group", "1");
	} else {
		(void)write_at(path, "memory.memsw.limit_in_bytes", text);
	}
	return 0;
}

int
cgroup_make(const struct cgroups *cg, const char *tag, uint64_t memory_bytes, uint64_t processes,
    struct cgroup *c, const char **why_r)
{
	static char	 why[160];
	char		 procs[CGROUP_PATH_BYTES + 64];

	c->procs_fd = -1;
	*why_r = why;
	if ((size_t)snprintf(c->path, sizeof(c->path), "%s/" PREFIX "%d-%s", cg->path, (int)getpid(),
	    tag) >= sizeof(c->path)) {
		snprintf(why, sizeof(why), "the path of its control group is too long");
		c->path[0] = '\0';
		return -1;
	}
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", c->path);
	/* One of that name may be left from before an upgrade, whose process is this one. */
	if ((mkdir(c->path, 0755) == -1 && errno != EEXIST) ||
	    set_limits(cg, c->path, memory_bytes, processes) == -1 ||
	    (c->procs_fd = open(procs, O_WRONLY | O_CLOEXEC)) == -1) {
		snprintf(why, sizeof(why), "its control group could not be made: %s", strerror(errno));
		(void)rmdir(c->path);
		c->path[0] = '\0';
		return -1;
	}
	return 0;
}

uint64_t
cgroup_oom_kills(const struct cgroups *cg, const struct cgroup *c)
{
	char	 text[1024];

	if (c->path[0] == '\0' || read_at(c->path,
	    cg->version == CGROUP_V2 ? "memory.events" : "memory.oom_control", text,
	    sizeof(text)) == -1)
		return 0;
	return number_of(text, "oom_kill");
}

void
cgroup_remove(const struct cgroups *cg, struct cgroup *c)
{
	if (c->procs_fd != -1)
		close(c->procs_fd);
	c->procs_fd = -1;
	if (c->path[0] == '\0')
		return;
	/* Who left its process group is still in here. */
	if (rmdir(c->path) == -1 && errno == EBUSY && cg->version == CGROUP_V2 &&
	    write_at(c->path, "cgroup.kill", "1") == 0)
		(void)rmdir(c->path);	/* they may still be dying: the sweep is there for that */
	c->path[0] = '\0';
}
