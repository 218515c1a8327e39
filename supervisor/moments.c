/*
 * moments - see moments.h.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "supervisor/moments.h"

#define TEXT_MAX	512

static void	(*follower)(void *, enum moment, const char *, const char *);
static void	*follower_arg;

const char *
moment_name(enum moment m)
{
	static const char *const names[] = {
#define MOMENT(id, name, help) name,
#include "proto/moments.def"
#undef MOMENT
	};

	assert(m < MOMENT__N);
	return names[m];
}

void
moments_follow(void (*fn)(void *, enum moment, const char *, const char *), void *arg)
{
	follower = fn;
	follower_arg = arg;
}

void
moment_say(enum moment m, const char *who, const char *fmt, ...)
{
	char	 text[TEXT_MAX];
	va_list	 ap;

	if (follower == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	follower(follower_arg, m, who, text);
}
