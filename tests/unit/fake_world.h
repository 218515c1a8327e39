/*
 * fake_world - what tasks ask of the world: messages become words in `did`, time is set by the test.
 *
 * The test includes it once and defines fake_sent().
 */
#ifndef TESTS_FAKE_WORLD_H
#define TESTS_FAKE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "worker/runtime/task.h"

static struct tasks	*tasks;
static struct board	 board;
static struct mono	 now, wake;
static struct buf	 did;

/* A message that the table does not refuse left. */
static void		 fake_sent(enum msg_type, const void *src);

static void __attribute__((format(printf, 1, 2)))
say(const char *fmt, ...)
{
	char	 text[128];
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_printf(&did, "%s%s", did.n == 0 ? "" : " ", text);
}

/* What happened since the last look. */
static void
did_say(const char *want)
{
	char	*have = mem_spandup(buf_span(&did));

	assert_string_equal(have, want);
	free(have);
	buf_reset(&did);
}

static void
fake_send(void *arg, enum msg_type type, const void *src)
{
	struct buf	 packed = { 0 };

	(void)arg;
	assert_int_equal(msg_pack(&packed, type, src, NULL), 0);
	buf_fini(&packed);
	fake_sent(type, src);
}

static struct mono
fake_now(void *arg)
{
	(void)arg;
	return now;
}

static void
fake_wake_at(void *arg, struct mono at)
{
	(void)arg;
	wake = at;
}

static void
fake_drained(void *arg)
{
	(void)arg;
	say("drained");
}

static const struct tasks_ops	 ops = { fake_send, fake_now, fake_wake_at, fake_drained };

/* Time passes; the loop calls back whenever it was asked to. */
static void
pass(uint64_t ms)
{
	struct mono	 end = mono_add_ms(now, ms);

	for (int turns = 0; !mono_is_never(wake) && !mono_before(end, wake); turns++) {
		assert_true(turns < 1000);
		if (mono_before(now, wake))
			now = wake;
		tasks_tick(tasks);
	}
	now = end;
}

#endif
