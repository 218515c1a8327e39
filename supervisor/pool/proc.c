/*
 * proc - see proc.h.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "supervisor/pool/proc.h"

bool
proc_stat(pid_t pid, struct proc_stat *st_r)
{
	char		 path[40], text[1024], *p;
	int		 fd, ppid;
	ssize_t		 n;
	int64_t		 rss_pages;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	if ((p = strrchr(text, ')')) == NULL)
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
