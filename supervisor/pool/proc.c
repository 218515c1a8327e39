/*
 * proc - see proc.h.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/pool/proc.h"

#define STATUS_BYTES	4096	/* about 1,500 are used */
#define FDS_COUNTED	4096	/* by reading the directory, on kernels before 6.2 */

/* A whole small file of /proc/PID, with a NUL behind it; false: there is none. */
static bool
read_file(pid_t pid, const char *name, char *dst, size_t dst_bytes)
{
	char	 path[48];
	int	 fd;
	ssize_t	 n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return false;
	n = read(fd, dst, dst_bytes - 1);
	close(fd);
	if (n <= 0)
		return false;
	dst[n] = '\0';
	return true;
}

bool
proc_stat(pid_t pid, struct proc_stat *st_r)
{
	char	 text[1024], *p;
	int	 ppid;
	int64_t	 rss_pages;

	if (!read_file(pid, "stat", text, sizeof(text)) || (p = strrchr(text, ')')) == NULL)
		return false;
	memset(st_r, 0, sizeof(*st_r));
	/* Fields 3 and 4, seventeen that do not matter, 22 starttime, 23 vsize, 24 rss. */
	if (sscanf(p + 1,
	    " %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
	    "%" SCNu64 " %*s %" SCNd64,
	    &st_r->state, &ppid, &st_r->starttime, &rss_pages) != 4)
		return false;
	st_r->ppid = (pid_t)ppid;
	st_r->rss_kib = rss_pages < 0 ? 0 :
	    (uint64_t)rss_pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
	return true;
}

/* "VmHWM:\t    3412 kB" at the beginning of a line. */
static bool
take_number(struct span text, const char *name, uint64_t *n_r)
{
	const char	*at = text.p, *end = text.p + text.n, *nl;
	size_t		 n = strlen(name);
	struct span	 v;

	while (at < end) {
		if ((nl = memchr(at, '\n', (size_t)(end - at))) == NULL)
			nl = end;
		if ((size_t)(nl - at) > n && memcmp(at, name, n) == 0) {
			for (at += n; at < nl && (*at == ' ' || *at == '\t'); at++)
				continue;
			v.p = at;
			for (v.n = 0; at < nl && *at >= '0' && *at <= '9'; at++)
				v.n++;
			return span_u64(v, n_r);
		}
		at = nl + 1;
	}
	return false;
}

bool
proc_status_parse(struct span text, struct proc_status *st_r)
{
	st_r->uid = st_r->no_new_privs = st_r->seccomp = 0;
	(void)take_number(text, "Uid:", &st_r->uid);
	(void)take_number(text, "NoNewPrivs:", &st_r->no_new_privs);
	(void)take_number(text, "Seccomp:", &st_r->seccomp);
	return take_number(text, "VmRSS:", &st_r->rss_kib) && take_number(text, "VmHWM:", &st_r->hwm_kib);
}

bool
proc_status(pid_t pid, struct proc_status *st_r)
{
	char	 text[STATUS_BYTES];

	return read_file(pid, "status", text, sizeof(text)) &&
	    proc_status_parse(span_of(text), st_r);
}

uint64_t
proc_fds(pid_t pid)
{
	char		 path[48];
	struct stat	 st;
	DIR		*d;
	uint64_t	 n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	/* Since Linux 6.2 the size of the directory is the number, and no permission is needed. */
	if (stat(path, &st) == 0 && st.st_size > 0)
		return (uint64_t)st.st_size;
	if ((d = opendir(path)) == NULL)
		return 0;
	while (n < FDS_COUNTED + 2 && readdir(d) != NULL)
		n++;
	closedir(d);
	return n < 2 ? 0 : n - 2;
}
