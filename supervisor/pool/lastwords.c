/*
 * lastwords - see lastwords.h.
 */
#include <stdio.h>
#include <string.h>

#include "common/mem.h"
#include "proto/contract.h"
#include "supervisor/pool/lastwords.h"

enum trace {
	TRACE_NONE,
	TRACE_OURS,		/* until CONTRACT_CRASH_END */
	TRACE_INDENTED,		/* until a line that begins at the margin */
};

/* Behind head when s begins with it, else SPAN_NONE. */
static struct span
behind(struct span s, const char *head)
{
	size_t	 n = strlen(head);

	if (s.n <= n || memcmp(s.p, head, n) != 0)
		return SPAN_NONE;
	return span_make(s.p + n, s.n - n);
}

static void
begin(struct last_words *w, enum trace trace, struct span what)
{
	w->in_trace = trace;
	w->frames_n = w->frames_cut = 0;
	span_copy(what, w->crash, sizeof(w->crash));
}

/* True: the line begins a backtrace. */
static bool
begins(struct last_words *w, struct span line)
{
	struct span	 s;
	const char	*asan;

	if (!span_is(line, CONTRACT_CRASH_END) && (s = behind(line, CONTRACT_CRASH)).n > 0) {
		begin(w, TRACE_OURS, s);
		return true;
	}
	if ((s = behind(line, "Fatal Python error: ")).n > 0) {
		begin(w, TRACE_INDENTED, s);
		return true;
	}
	asan = line.n > 2 && line.p[0] == '=' ?
	    memmem(line.p, line.n, "ERROR: AddressSanitizer: ", 25) : NULL;
	if (asan != NULL) {
		begin(w, TRACE_INDENTED, span_make(asan, line.n - (size_t)(asan - line.p)));
		return true;
	}
	return false;
}

/* Where the next one goes; NULL: there are enough. */
static char *
next_frame(struct last_words *w)
{
	if (w->frames_n == OBITUARY_FRAMES) {
		w->frames_cut++;
		return NULL;
	}
	return w->frames[w->frames_n++];
}

/*
 * "/usr/local/bin/bulkhead-worker(tasks_event+0x1f)[0x55d0]" is shown as
 * "bulkhead-worker(tasks_event+0x1f)": addr2line wants no more.  A process with a title is called
 * "bulkhead-worker: echo.0#1" there.
 */
static void
add_our_frame(struct last_words *w, struct span s)
{
	const char	*paren = memrchr(s.p, '(', s.n), *slash, *colon, *square;
	struct span	 file, where = SPAN_NONE;
	char		*dst = next_frame(w);

	if (dst == NULL)
		return;
	file = span_make(s.p, paren == NULL ? s.n : (size_t)(paren - s.p));
	if (paren != NULL) {
		where = span_make(paren, s.n - file.n);
		if ((square = memchr(where.p, '[', where.n)) != NULL)
			where.n = (size_t)(square - where.p);
	}
	if ((slash = memrchr(file.p, '/', file.n)) != NULL)
		file = span_make(slash + 1, file.n - (size_t)(slash + 1 - file.p));
	if ((colon = memchr(file.p, ':', file.n)) != NULL)
		file.n = (size_t)(colon - file.p);
	snprintf(dst, sizeof(w->frames[0]), "%.*s%.*s", (int)file.n, file.p, (int)where.n,
	    where.n == 0 ? "" : where.p);
}

static void
add_indented_frame(struct last_words *w, struct span s)
{
	char	*dst = next_frame(w);

	while (s.n > 0 && s.p[0] == ' ') {
		s.p++;
		s.n--;
	}
	if (dst != NULL)
		span_copy(s, dst, sizeof(w->frames[0]));
}

/* True: the line belongs to the backtrace that is being read. */
static bool
continues(struct last_words *w, struct span line)
{
	switch ((enum trace)w->in_trace) {
	case TRACE_OURS:
		if (span_is(line, CONTRACT_CRASH_END))
			w->in_trace = TRACE_NONE;
		else
			add_our_frame(w, line);
		return true;
	case TRACE_INDENTED:
		if (line.p[0] == ' ') {
			add_indented_frame(w, line);
			return true;
		}
		/* faulthandler's head of a thread; the first is the one that crashed. */
		if (behind(line, "Current thread ").n > 0 || behind(line, "Thread ").n > 0)
			return true;
		/* "==123==The signal is caused by ..." of AddressSanitizer stands between. */
		if (line.p[0] != '=')
			w->in_trace = TRACE_NONE;
		return false;
	case TRACE_NONE:
		break;
	}
	return false;
}

void
last_words_add(struct last_words *w, struct span line)
{
	if (line.n == 0 || begins(w, line) || continues(w, line))
		return;
	span_copy(line, w->lines[w->lines_n % OBITUARY_LINES], sizeof(w->lines[0]));
	w->lines_n++;
}

const char *
last_words_line(const struct last_words *w, size_t i)
{
	size_t	 first = w->lines_n > OBITUARY_LINES ? w->lines_n - OBITUARY_LINES : 0;

	return first + i < w->lines_n ? w->lines[(first + i) % OBITUARY_LINES] : NULL;
}
