/*
 * handover - see handover.h.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "supervisor/handover.h"

#define BYTES_MAX	(1u << 20)
#define FIRST		"bulkhead-handover=1"
#define VARS		"vars="		/* the last one: what follows are the variables */

static void
put(struct buf *out, const char *key, const char *value)
{
	buf_printf(out, "%s=%s", key, value);
	buf_add(out, "", 1);
}

static void
put_u64(struct buf *out, const char *key, uint64_t value)
{
	buf_printf(out, "%s=%" PRIu64, key, value);
	buf_add(out, "", 1);
}

void
handover_pack(const struct handover *h, const struct cfg_vars *vars, struct buf *out)
{
	buf_add(out, FIRST, sizeof(FIRST));
	put_u64(out, "check", h->check);
	if (h->lock_fd != -1)
		put_u64(out, "lock_fd", (uint64_t)h->lock_fd);
	if (h->control_fd != -1)
		put_u64(out, "control_fd", (uint64_t)h->control_fd);
	put(out, "from", h->from);
	put(out, "runtime_dir", h->runtime_dir);
	put_u64(out, "closed_us", h->closed_at.us);
	put_u64(out, "upgrades", h->upgrades);
	put(out, "failed", h->failed);
	buf_add(out, VARS, sizeof(VARS));
	cfg_vars_pack(vars, out);
}

static void
take_one(struct handover *h, struct span key, const char *value)
{
	struct span	 v = span_of(value);
	uint64_t	 n = 0;
	bool		 number = span_u64(v, &n);

	if (span_is(key, "check"))
		h->check = number && n == 1;
	else if (span_is(key, "lock_fd") && number && n <= INT_MAX)
		h->lock_fd = (int)n;
	else if (span_is(key, "control_fd") && number && n <= INT_MAX)
		h->control_fd = (int)n;
	else if (span_is(key, "from"))
		span_copy(v, h->from, sizeof(h->from));
	else if (span_is(key, "runtime_dir"))
		span_copy(v, h->runtime_dir, sizeof(h->runtime_dir));
	else if (span_is(key, "closed_us") && number)
		h->closed_at = (struct mono){ n };
	else if (span_is(key, "upgrades") && number)
		h->upgrades = n;
	else if (span_is(key, "failed"))
		span_copy(v, h->failed, sizeof(h->failed));
}

bool
handover_unpack(struct span in, bool env, struct handover *h)
{
	const char	*nul, *eq;
	bool		 first = true;

	*h = (struct handover){ .lock_fd = -1, .control_fd = -1 };
	while (in.n > 0) {
		if ((nul = memchr(in.p, '\0', in.n)) == NULL)
			return false;
		if (first && strcmp(in.p, FIRST) != 0)
			return false;
		first = false;
		eq = strchr(in.p, '=');
		if (strcmp(in.p, VARS) == 0) {
			if (env)
				cfg_vars_setenv(span_make(nul + 1, in.n - (size_t)(nul + 1 - in.p)));
			return true;
		}
		if (eq != NULL)
			take_one(h, span_make(in.p, (size_t)(eq - in.p)), eq + 1);
		in.n -= (size_t)(nul + 1 - in.p);
		in.p = nul + 1;
	}
	return false;
}

int
handover_fd(struct span packed)
{
	int	 fd = memfd_create("bulkhead-handover", MFD_ALLOW_SEALING);

	if (fd == -1)
		return -1;
	if (write(fd, packed.p, packed.n) != (ssize_t)packed.n || lseek(fd, 0, SEEK_SET) == -1 ||
	    fcntl(fd, F_ADD_SEALS,
	    F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

bool
handover_take(struct handover *h)
{
	const char	*named = getenv(HANDOVER_ENV);
	struct stat	 st;
	struct buf	 in = { 0 };
	uint64_t	 fd;
	ssize_t		 n;
	bool		 ok = false;

	*h = (struct handover){ .lock_fd = -1, .control_fd = -1 };
	if (named == NULL)
		return false;
	/* A file of bounded size, and nothing that a read could wait for. */
	if (span_u64(span_of(named), &fd) && fd <= INT_MAX && fstat((int)fd, &st) == 0 &&
	    S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= BYTES_MAX) {
		while ((n = read((int)fd, buf_room(&in, 4096), 4096)) > 0)
			buf_added(&in, (size_t)n);
		ok = handover_unpack(buf_span(&in), true, h);
		if (fd > STDERR_FILENO)
			(void)close((int)fd);
		if (in.cap > 0)
			explicit_bzero(in.p, in.cap);
		buf_fini(&in);
	}
	(void)unsetenv(HANDOVER_ENV);
	return ok;
}
