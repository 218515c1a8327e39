/*
 * log - one line per event, to a bounded ring in front of a non-blocking descriptor.
 *
 * Every line goes through the ring, so that half a line that a slow reader took is always
 * followed by its other half.  Without a loop the ring is flushed after each line, with one
 * in its tail.
 */
#include <sys/socket.h>
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/count.h"
#include "common/log.h"
#include "common/logfmt.h"
#include "common/lograte.h"
#include "common/loop.h"
#include "common/secret.h"

#define RING_BYTES	(256u * 1024)
#define LINE_MAX_BYTES	2048		/* with time, level and program */
#define CUT_BYTES	(LINE_MAX_BYTES - 192)	/* of a line that an errno follows */
#define REDIRECT_MAX	1024		/* messages.def: LOG.line */
#define REPORT_ROOM	512		/* kept free for the line that tells of dropped lines */

static struct {
	enum log_format	 format;
	struct lograte	 rate;
	char		 program[32];
	int		 fd;		/* where lines are written; -1 before log_init */
	bool		 fd_own;	/* reopened here, closed here */
	bool		 fd_socket;
	int		 level;
	char		 classes[256];	/* ",gateway,chan," or "," */
	bool		 classes_all;
	char		 traced[256];	/* as it was given */

	char		 ring[RING_BYTES];
	size_t		 head, used;	/* bytes [head, head + used) wrap around */
	uint64_t	 dropped;	/* ever */
	uint64_t	 unreported;	/* of them not told of yet */

	struct loop	*loop;		/* NULL: not attached */
	struct watch	*watch;		/* made when the reader was slow for the first time */
	uint64_t	 flushed_turn;	/* the tail of this turn has flushed */

	void		(*redirect)(int, const char *, const char *, void *);
	void		*redirect_arg;
	bool		 redirecting;
} lg = { .fd = -1, .level = LOG_INFO, .classes = "," };

static const struct {
	int		 level;
	const char	*name;
} levels[] = {
	{ LOG_ERR,	"err" },
	{ LOG_WARNING,	"warning" },
	{ LOG_NOTICE,	"notice" },
	{ LOG_INFO,	"info" },
	{ LOG_DEBUG,	"debug" },
};

static void	 flush_ring(void);

const char *
log_level_name(int level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (level <= levels[i].level)
			return levels[i].name;
	}
	return "debug";
}

int
log_level_of(const char *name)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(name, levels[i].name) == 0)
			return levels[i].level;
	}
	return -1;
}

void
log_level(int level)
{
	lg.level = level;
}

int
log_level_now(void)
{
	return lg.level;
}

/*
 * A descriptor of our own on the same file: O_NONBLOCK belongs to the open file, and setting
 * it on an inherited one would set it in the shell that shares it.
 */
static int
open_again(int fd)
{
	char	 path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_APPEND | O_NOCTTY | O_CLOEXEC);
}

static void
forget_fd(void)
{
	watch_free(&lg.watch);
	if (lg.fd_own)
		close(lg.fd);
	lg.fd = -1;
	lg.fd_own = lg.fd_socket = false;
}

int
log_format_of(const char *name)
{
	static const char *const	 names[] = { "text", "json", "journal" };
	const char			*stream = getenv("JOURNAL_STREAM");
	struct stat			 st;
	char				 here[48];

	for (int i = 0; i < 3; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	if (strcmp(name, "auto") != 0)
		return -1;
	/* Set by systemd: device and inode of the journal's socket.  systemd.exec(5) */
	if (stream == NULL || fstat(STDERR_FILENO, &st) == -1)
		return LOG_TEXT;
	snprintf(here, sizeof(here), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, here) == 0 ? LOG_JOURNAL : LOG_TEXT;
}

void
log_format(int format)
{
	lg.format = (enum log_format)format;
}

void
log_std_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd)
			abort();	/* without /dev/null nothing else would work either */
}

void
log_init(const char *program, int fd, int level)
{
	struct stat	 st;
	int		 own;

	forget_fd();
	lg.loop = NULL;
	lg.head = lg.used = 0;
	lg.unreported = 0;
	lg.level = level;
	snprintf(lg.program, sizeof(lg.program), "%s", program);
	lg.fd = fd;
	/* A reader that goes away costs lines, not the process. */
	signal(SIGPIPE, SIG_IGN);
	if (fstat(fd, &st) == -1 || S_ISREG(st.st_mode))
		return;
	if (S_ISSOCK(st.st_mode)) {
		lg.fd_socket = true;	/* MSG_DONTWAIT does without the flag */
		return;
	}
	if ((own = open_again(fd)) != -1) {
		lg.fd = own;
		lg.fd_own = true;
	} else {
		int	 flags = fcntl(fd, F_GETFL);

		/* A pipe of another user cannot be opened again: shared is better than blocked. */
		if (flags != -1)
			(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	}
}

static void
ring_add(const char *p, size_t n)
{
	size_t	 at = (lg.head + lg.used) % RING_BYTES;
	size_t	 first = n < RING_BYTES - at ? n : RING_BYTES - at;

	assert(n <= RING_BYTES - lg.used);
	memcpy(lg.ring + at, p, first);
	memcpy(lg.ring, p + first, n - first);
	lg.used += n;
}

static size_t
format_line(char *dst, size_t dst_bytes, int level, const char *class, struct span text)
{
	const struct log_head	 head = { lg.format, clock_wall_ms(), level, lg.program, class };

	return logfmt_line(dst, dst_bytes, &head, text);
}

/* Where lines are missing says so, in one line; true when nothing is missing any more. */
static bool
report_dropped(void)
{
	char	 text[96], line[REPORT_ROOM];
	size_t	 n;

	if (lg.unreported == 0)
		return true;
	snprintf(text, sizeof(text), "%" PRIu64 " lines dropped: the reader of the log was slow",
	    lg.unreported);
	n = format_line(line, sizeof(line), LOG_WARNING, "", span_of(text));
	if (n > RING_BYTES - lg.used)
		return false;
	ring_add(line, n);
	lg.unreported = 0;
	return true;
}

static void
ring_line(const char *line, size_t n)
{
	size_t	 room = RING_BYTES - lg.used;

	if (n + 2 * REPORT_ROOM > room || !report_dropped()) {
		lg.dropped++;
		lg.unreported++;
		COUNT(log_dropped);
		return;
	}
	ring_add(line, n);
}

static void
writable(int fd, int what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	flush_ring();
}

static ssize_t
write_some(const char *p, size_t n)
{
	if (lg.fd_socket)
		return send(lg.fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	return write(lg.fd, p, n);
}

/* Writes until the ring is empty or the reader is full. */
static void
flush_ring(void)
{
	int	 keep = errno;
	bool	 slow = false;

	while (lg.used > 0 && lg.fd != -1) {
		size_t	 n = lg.used < RING_BYTES - lg.head ? lg.used : RING_BYTES - lg.head;
		ssize_t	 done = write_some(lg.ring + lg.head, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			slow = true;
			break;
		}
		if (done < 0) {
			/* Gone or full: these lines have no reader, later ones may have. */
			for (size_t i = 0; i < lg.used; i++) {
				if (lg.ring[(lg.head + i) % RING_BYTES] != '\n')
					continue;
				lg.dropped++;
				COUNT(log_dropped);
			}
			lg.head = lg.used = 0;
			break;
		}
		lg.head = (lg.head + (size_t)done) % RING_BYTES;
		lg.used -= (size_t)done;
		if (lg.used == 0)
			(void)report_dropped();
	}
	if (lg.loop != NULL && slow && lg.watch == NULL)
		lg.watch = watch_new(lg.loop, lg.fd, writable, NULL);
	if (lg.watch != NULL)
		watch_set(lg.watch, slow ? LOOP_WRITE : 0);
	errno = keep;
}

static void
tail_flush(void *arg)
{
	if (lg.loop != arg)
		return;		/* detached, or attached to another one */
	lg.flushed_turn = loop_turns(lg.loop);
	if (lg.used > 0)
		flush_ring();
}

void
log_attach(struct loop *l)
{
	log_detach();
	lg.loop = l;
	lg.flushed_turn = 0;
	loop_tail(l, tail_flush, l);
}

void
log_detach(void)
{
	flush_ring();
	watch_free(&lg.watch);
	lg.loop = NULL;
}

int
log_trace_classes(const char *comma_list)
{
	static const char *const	 known[] = { "gateway", "route", "rest", "chat", "chan",
	    "all" };
	size_t				 n, i;

	for (const char *p = comma_list; *p != '\0'; p += n + (p[n] == ',')) {
		n = strcspn(p, ",");
		for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (n == 0 || span_is(span_make(p, n), known[i]))
				break;
		if (i == sizeof(known) / sizeof(known[0]))
			return -1;
	}
	snprintf(lg.classes, sizeof(lg.classes), ",%s,", comma_list);
	lg.classes_all = strstr(lg.classes, ",all,") != NULL;
	if (lg.classes[1] == ',')
		lg.classes[1] = '\0';
	snprintf(lg.traced, sizeof(lg.traced), "%s", comma_list);
	return 0;
}

const char *
log_trace_class_names(void)
{
	return "gateway, route, rest, chat, chan, all";
}

const char *
log_traced(void)
{
	return lg.traced;
}

bool
log_traces(const char *class)
{
	size_t	 n = strlen(class);

	if (lg.classes_all)
		return true;
	for (const char *p = lg.classes; (p = strstr(p, class)) != NULL; p++) {
		if (p[-1] == ',' && p[n] == ',')
			return true;
	}
	return false;
}

uint64_t
log_dropped(void)
{
	return lg.dropped;
}

void
log_redirect(void (*fn)(int, const char *, const char *, void *), void *arg)
{
	lg.redirect = fn;
	lg.redirect_arg = arg;
}

/* Nothing that came from outside may speak to the terminal that shows the log. */
static void
blunt(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char	 c = (unsigned char)p[i];

		if (c < 0x20 || c == 0x7f)
			p[i] = '?';
		else if (c == 0xc2 && i + 1 < n && (unsigned char)p[i + 1] >= 0x80 &&
		    (unsigned char)p[i + 1] < 0xa0)
			p[i] = p[i + 1] = '?';	/* U+0080..U+009F, the other control characters */
	}
}

/* One line.  text has room for a newline and a NUL behind its n bytes. */
static void
emit(int level, const char *class, char *text, size_t n)
{
	char	 line[LINE_MAX_BYTES + 8];

	(void)secret_mask(text, n);
	blunt(text, n);
	if (lg.redirect != NULL && !lg.redirecting) {
		if (n == 0)
			return;
		text[logfmt_cut(text, n, REDIRECT_MAX)] = '\0';
		lg.redirecting = true;
		lg.redirect(level, class, text, lg.redirect_arg);
		lg.redirecting = false;
		return;
	}
	if (lg.fd == -1)
		log_init(program_invocation_short_name, STDERR_FILENO, lg.level);
	ring_line(line, format_line(line, LINE_MAX_BYTES + 2, level, class,
	    span_make(text, n)));
	if (lg.loop == NULL)
		flush_ring();
	else if (lg.flushed_turn == loop_turns(lg.loop))
		loop_again(lg.loop);	/* the tail has passed: do not sleep on it */
}

/* Lines that were left out are told of with a later line of whatever kind. */
static void
tell_left_out(uint64_t now_ms)
{
	char		 text[160];
	uint64_t	 key, n;
	int		 len;

	if ((n = lograte_due(&lg.rate, now_ms, &key)) == 0)
		return;
	len = snprintf(text, sizeof(text), "%" PRIu64 " more lines like one that was said %u times"
	    " in %u s are left out message=%08" PRIx64, n, LOGRATE_LINES,
	    LOGRATE_WINDOW_MS / 1000, key & 0xffffffff);
	emit(LOG_WARNING, "", text, (size_t)len);
}

/* key: what makes lines alike.  Who asks for debug lines or a trace wants them all. */
static bool
may_say(int level, uint64_t key)
{
	uint64_t	 now_ms;

	if (level >= LOG_DEBUG)
		return true;
	now_ms = clock_mono().us / 1000;
	tell_left_out(now_ms);
	return lograte_may(&lg.rate, key, now_ms);
}

static void __attribute__((format(printf, 4, 0)))
vemit(int level, const char *class, int err, const char *fmt, va_list ap)
{
	char	 text[LINE_MAX_BYTES + SECRET_LONGEST];	/* masked before it is cut */
	int	 keep = errno, n;

	if (!may_say(level, (uintptr_t)fmt))
		return;
	n = vsnprintf(text, sizeof(text), fmt, ap);
	if (n < 0)
		n = snprintf(text, sizeof(text), "a line that could not be formatted");
	if (n > CUT_BYTES)
		(void)secret_mask(text, strnlen(text, sizeof(text)));
	if (n > LINE_MAX_BYTES)
		n = LINE_MAX_BYTES;
	if (err != 0) {
		/* The cause stays readable when the rest is too long. */
		n = (int)logfmt_cut(text, (size_t)n, CUT_BYTES);
		n += snprintf(text + n, sizeof(text) - (size_t)n - 2, ": %s", strerror(err));
	}
	emit(level, class, text, (size_t)n);
	errno = keep;
}

#define VEMIT(severity, err)						\
	do {								\
		va_list	 ap;						\
									\
		if ((severity) > lg.level)				\
			return;						\
		va_start(ap, fmt);					\
		vemit((severity), "", (err), fmt, ap);			\
		va_end(ap);						\
	} while (0)

void
log_debug(const char *fmt, ...)
{
	VEMIT(LOG_DEBUG, 0);
}

void
log_info(const char *fmt, ...)
{
	VEMIT(LOG_INFO, 0);
}

void
log_notice(const char *fmt, ...)
{
	VEMIT(LOG_NOTICE, 0);
}

void
log_warn(const char *fmt, ...)
{
	VEMIT(LOG_WARNING, errno);
}

void
log_warnx(const char *fmt, ...)
{
	VEMIT(LOG_WARNING, 0);
}

void
log_err(const char *fmt, ...)
{
	VEMIT(LOG_ERR, 0);
}

void
log_trace(const char *class, const char *fmt, ...)
{
	va_list	 ap;

	if (!log_traces(class))
		return;
	va_start(ap, fmt);
	vemit(LOG_DEBUG, class, 0, fmt, ap);
	va_end(ap);
}

/* FNV-1a. */
static uint64_t
hash_of(const char *s)
{
	uint64_t	 h = 0xcbf29ce484222325u;

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	return h;
}

static void
tagged(int level, const char *class, const char *tag, struct span text)
{
	char	 line[LINE_MAX_BYTES + 128];
	int	 keep = errno;
	size_t	 n = 0;

	/* Each worker is one message: its flood costs nobody else's lines. */
	if (!may_say(level, tag == NULL ? 1 : hash_of(tag)))
		return;
	if (tag != NULL && tag[0] != '\0')
		n = (size_t)snprintf(line, 256, "%.200s ", tag);
	n += span_copy(text, line + n, LINE_MAX_BYTES + 1 - n);
	emit(level, class, line, n);
	errno = keep;
}

void
log_line(int level, const char *tag, struct span text)
{
	if (level <= lg.level)
		tagged(level, "", tag, text);
}

void
log_trace_line(struct span class, const char *tag, struct span text)
{
	char	 name[33];

	span_copy(class, name, sizeof(name));
	if (log_traces(name))
		tagged(LOG_DEBUG, name, tag, text);
}
