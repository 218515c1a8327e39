/*
 * logfmt - what one line of the log looks like.  Pure.
 *
 *	LOG_TEXT	time, level, program, [class], text
 *	LOG_JOURNAL	"<6>" and the text: journald has the time, and takes the priority from it
 *	LOG_JSON	one object: time, level, program, class if any, message, and the key=value words
 *			that end the text as members of `fields`, all strings
 *
 * Source: sd-daemon(3) for the prefix.
 */
#ifndef COMMON_LOGFMT_H
#define COMMON_LOGFMT_H

#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

enum log_format { LOG_TEXT, LOG_JSON, LOG_JOURNAL };

struct log_head {
	enum log_format	 format;
	uint64_t	 wall_ms;
	int		 level;
	const char	*program, *class;	/* class "" for none */
};

/*
 * Write the line with its newline; what does not fit is cut out of the text's end, "..." in its
 * place.  text holds no control characters.  dst_bytes of at least LOGFMT_MIN.  The length.
 */
#define LOGFMT_MIN	512
size_t	 logfmt_line(char *dst, size_t dst_bytes, const struct log_head *, struct span text);

/*
 * Cut text of n bytes to max with "..." at the end, not inside a UTF-8 character; returns the new
 * length.  text has room for max and a NUL.
 */
size_t	 logfmt_cut(char *text, size_t n, size_t max);

#endif
