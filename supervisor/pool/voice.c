/*
 * voice - see voice.h.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "supervisor/pool/lastwords.h"
#include "supervisor/pool/voice.h"

#define TURN_BYTES	8192		/* read in one loop turn */
#define LAST_BYTES	(128u * 1024)	/* read after death: more than a pipe holds */
#define PER_SECOND	200		/* stderr and LOG together */

static void
report_unsaid(struct voice *v)
{
	if (v->unsaid > 0)
		log_warnx("%s says too much: lines not logged n=%llu", v->tag,
		    (unsigned long long)v->unsaid);
	v->unsaid = 0;
}

bool
voice_may_say(struct voice *v)
{
	struct mono	 now = loop_now(v->loop);

	if (mono_is_never(v->second) || mono_ms_between(v->second, now) >= 1000) {
		report_unsaid(v);
		v->second = now;
		v->said = 0;
	}
	if (v->said < PER_SECOND) {
		v->said++;
		return true;
	}
	v->unsaid++;
	return false;
}

static void
say(void *arg, struct span line)
{
	struct voice	*v = arg;

	last_words_add(&v->words, line);
	if (voice_may_say(v))
		log_line(LOG_NOTICE, v->tag, line);
}

static void
shut(struct voice *v)
{
	watch_free(&v->watch);
	if (v->fd != -1)
		close(v->fd);
	v->fd = -1;
}

/* At most max bytes.  False: there is no more, now or ever. */
static bool
read_on(struct voice *v, size_t max)
{
	char	 bytes[TURN_BYTES];

	while (v->fd != -1 && max > 0) {
		ssize_t	 n = read(v->fd, bytes, max < sizeof(bytes) ? max : sizeof(bytes));

		if (n > 0) {
			lines_add(&v->lines, bytes, (size_t)n, say, v);
			max -= (size_t)n;
			continue;
		}
		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0 || errno != EAGAIN)
			shut(v);
		return false;
	}
	return v->fd != -1;
}

static void
readable(int fd, int what, void *arg)
{
	(void)fd;
	(void)what;
	(void)read_on(arg, TURN_BYTES);
}

void
voice_init(struct voice *v, struct loop *loop, const char *tag, int fd)
{
	memset(v, 0, sizeof(*v));
	v->loop = loop;
	v->tag = tag;
	v->fd = fd;
	v->second = MONO_NEVER;
	v->watch = watch_new(loop, fd, readable, v);
	watch_set(v->watch, LOOP_READ);
}

void
voice_fini(struct voice *v)
{
	shut(v);
}

void
voice_end(struct voice *v)
{
	(void)read_on(v, LAST_BYTES);
	lines_end(&v->lines, say, v);
	report_unsaid(v);
}
