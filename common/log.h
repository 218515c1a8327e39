/*
 * log - one line per event, to a bounded ring in front of a non-blocking descriptor.
 *
 * A reader that stops reading costs lines, never time: what does not fit in the ring is
 * dropped and counted, and the count is logged when the reader is back.
 * Lines: time, level, program, text (logfmt.h).  Tag first, sentence, then key=value.  A message that
 * is said hundreds of times a second is left out and counted (lograte.h).
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>
#include "common/span.h"

struct loop;

/*
 * First of all in main: descriptors 0 to 2 that were closed become /dev/null.  Otherwise a file of
 * ours would get the number, and the log would be written into it.
 */
void	 log_std_fds(void);
/* Before log_attach lines are written at once (non-blocking all the same). */
void	 log_init(const char *program, int fd, int level);
void	 log_attach(struct loop *);		/* from now on through the ring */
void	 log_detach(void);			/* flush what can be flushed at once */
void	 log_level(int level);			/* LOG_DEBUG..LOG_ERR */
int	 log_level_now(void);
int	 log_level_of(const char *name);	/* -1 when there is no such level */
const char *log_level_name(int level);
/* "gateway,chan" or "all"; 0, or -1 when a class has no such name: then nothing changes. */
int	 log_trace_classes(const char *comma_list);
const char *log_trace_class_names(void);	/* all there are, for people */
const char *log_traced(void);			/* the comma list in force, "" none */
bool	 log_traces(const char *class);
uint64_t log_dropped(void);
/* "text", "json", "journal", or "auto": journal when standard error is journald's; -1 none of them. */
int	 log_format_of(const char *name);
void	 log_format(int format);

/*
 * Redirect: lines go to fn instead of the descriptor (a worker passes them up its link).
 * fn must not log.  NULL restores the descriptor.
 */
void	 log_redirect(void (*fn)(int level, const char *class, const char *line, void *arg),
	    void *arg);

void	 log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	 log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	 log_notice(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	 log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));	/* appends errno */
void	 log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	 log_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	 log_trace(const char *class, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/*
 * A line from elsewhere (a worker's LOG or stderr), already tagged; control bytes are shown as ?.
 */
void	 log_line(int level, const char *tag, struct span text);
/* Shown when the class is on. */
void	 log_trace_line(struct span class, const char *tag, struct span text);

#endif
