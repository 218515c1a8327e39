/* chan: framing, one write per turn, partial writes, caps, and ends. */
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/chan.h"
#include "common/fault.h"
#include "common/log.h"
#include "tests/unit/fakes.h"

#define CAP	(8u << 20)

static struct loop	*l;
static struct timer	*bound;		/* ends a test that waits for what does not come */
static bool		 timed_out;

struct side {
	struct chan	*c;
	struct buf	 got;		/* frames, each with a '|' behind */
	size_t		 frames, bytes;
	uint64_t	 turn[16];	/* in which the first frames came */
	char		 why[160];
	int		 gone_n;
	size_t		 stop_at;	/* loop_stop after so many frames */
	bool		 free_at_frame, keep_bytes;
};

static struct side	 a, b;
static int		 fds[2];

static void
on_frame(struct chan *c, struct span frame, void *arg)
{
	struct side	*s = arg;

	assert_ptr_equal(c, s->c);
	assert_int_equal(s->gone_n, 0);
	if (s->frames < 16)
		s->turn[s->frames] = loop_turns(l);
	s->frames++;
	s->bytes += frame.n;
	if (s->keep_bytes) {
		buf_add_span(&s->got, frame);
		buf_add(&s->got, "|", 1);
	}
	if (s->free_at_frame)
		chan_free(&s->c);
	if (s->frames == s->stop_at || s->free_at_frame)
		loop_stop(l);
}

static void
on_gone(struct chan *c, const char *why, void *arg)
{
	struct side	*s = arg;

	assert_ptr_equal(c, s->c);
	assert_int_equal(s->gone_n++, 0);
	strlcpy(s->why, why, sizeof(s->why));
	assert_true(chan_gone(c));
	loop_stop(l);
}

static const struct chan_ops	 ops = { on_frame, on_gone };

static void
too_long(void *arg)
{
	(void)arg;
	timed_out = true;
	loop_stop(l);
}

static int
setup(void **state)
{
	(void)state;
	a = b = (struct side){ .keep_bytes = true };
	l = loop_new();
	bound = timer_new(l, too_long, NULL);
	timed_out = false;
	log_redirect(quiet, NULL);
	return socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
}

static int
teardown(void **state)
{
	(void)state;
	chan_free(&a.c);
	chan_free(&b.c);
	timer_free(&bound);
	loop_free(&l);
	buf_fini(&a.got);
	buf_fini(&b.got);
	log_redirect(NULL, NULL);
	return 0;
}

static void
make(struct side *s, int which)
{
	s->c = chan_new(l, fds[which], which == 0 ? "left" : "right", CAP, &ops, s);
	fds[which] = -1;
}

static void
run(void)
{
	timer_arm_ms(bound, 20000);
	loop_run(l);
	timer_stop(bound);
	assert_false(timed_out);
}

static void
run_turns(int n)
{
	while (n-- > 0)
		loop_turn(l);
}

static void
put(struct chan *c, const char *text)
{
	buf_add_span(chan_begin(c), span_of(text));
	assert_int_equal(chan_end(c), 0);
}

static void
expect_got(struct side *s, const char *text)
{
	struct span	 got = buf_span(&s->got);

	if (!span_is(got, text))
		fail_msg("got \"%.*s\", not \"%s\"", (int)got.n, got.p, text);
}

static void
raw(int fd, const void *p, size_t n)
{
	assert_int_equal(send(fd, p, n, MSG_NOSIGNAL), n);
}

static void
there_and_back(void **state)
{
	(void)state;
	make(&a, 0);
	make(&b, 1);
	assert_true((fcntl(chan_fd(a.c), F_GETFL) & O_NONBLOCK) != 0);
	assert_true((fcntl(chan_fd(a.c), F_GETFD) & FD_CLOEXEC) != 0);
	put(a.c, "one");
	put(a.c, "");
	put(a.c, "three");
	b.stop_at = 3;
	run();
	expect_got(&b, "one||three|");
	put(b.c, "back");
	a.stop_at = 1;
	run();
	expect_got(&a, "back|");
	assert_int_equal(chan_queued_bytes(a.c), 0);
	assert_false(chan_gone(a.c));
}

/* Frames of one turn leave together at its tail, not before. */
static void
one_write_a_turn(void **state)
{
	char	 bytes[64];

	(void)state;
	make(&a, 0);
	put(a.c, "x");
	put(a.c, "yz");
	assert_int_equal(recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT), -1);
	assert_int_equal(chan_queued_bytes(a.c), 11);
	loop_turn(l);
	assert_int_equal(recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT), 11);
	assert_memory_equal(bytes, "\0\0\0\1x\0\0\0\2yz", 11);
	put(a.c, "now");
	chan_flush(a.c);
	assert_int_equal(recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT), 7);
	close(fds[1]);
}

/* Every split of two frames into two writes gives the same two frames. */
static void
any_cut(void **state)
{
	static const char	 two[] = "\0\0\0\3abc\0\0\0\2de";
	size_t			 n = sizeof(two) - 1;

	(void)state;
	make(&a, 0);
	for (size_t cut = 1; cut < n; cut++) {
		buf_reset(&a.got);
		raw(fds[1], two, cut);
		run_turns(1);
		raw(fds[1], two + cut, n - cut);
		run_turns(1);
		expect_got(&a, "abc|de|");
	}
	for (size_t i = 0; i < n; i++) {
		if (i == 0)
			buf_reset(&a.got);
		raw(fds[1], two + i, 1);
		run_turns(1);
	}
	expect_got(&a, "abc|de|");
	close(fds[1]);
}

/* Larger than every buffer on the way; both sides give the memory back afterwards. */
static void
large_frames(void **state)
{
	struct buf	*out;
	size_t		 sizes[] = { CAP, 65536, 65532, 262144, 300001, 5 }, total = 0;

	(void)state;
	make(&a, 0);
	make(&b, 1);
	b.keep_bytes = false;
	for (size_t i = 0; i < 6; i++) {
		out = chan_begin(a.c);
		memset(buf_room(out, sizes[i]), (int)i, sizes[i]);
		buf_added(out, sizes[i]);
		assert_int_equal(chan_end(a.c), 0);
		total += sizes[i];
	}
	b.stop_at = 6;
	run();
	assert_int_equal(b.bytes, total);
	assert_int_equal(chan_queued_bytes(a.c), 0);
	out = chan_begin(a.c);
	assert_true(out->cap <= 65536);
	assert_int_equal(chan_end(a.c), 0);
}

static void
frame_above_cap_is_taken_back(void **state)
{
	struct buf	*out;

	(void)state;
	make(&a, 0);
	make(&b, 1);
	put(a.c, "before");
	out = chan_begin(a.c);
	memset(buf_room(out, CAP + 1), 0, CAP + 1);
	buf_added(out, CAP + 1);
	errno = 0;
	assert_int_equal(chan_end(a.c), -1);
	assert_int_equal(errno, EMSGSIZE);
	put(a.c, "after");
	b.stop_at = 2;
	run();
	expect_got(&b, "before|after|");
}

/* The length is a claim: above the cap the peer is gone, and nothing is allocated for it. */
static void
claimed_length_above_cap(void **state)
{
	static const char	 bytes[] = "\0\0\0\2ok\xff\xff\xff\xff" "never\0\0\0\1x";

	(void)state;
	make(&a, 0);
	raw(fds[1], bytes, sizeof(bytes) - 1);
	run();
	expect_got(&a, "ok|");
	assert_string_equal(a.why, "frame of 4294967295 bytes above cap 8388608");
	run_turns(3);
	assert_int_equal(a.gone_n, 1);
	close(fds[1]);
}

static void
end_of_file(void **state)
{
	(void)state;
	make(&a, 0);
	raw(fds[1], "\0\0\0\4last", 8);
	close(fds[1]);
	run();
	expect_got(&a, "last|");
	assert_string_equal(a.why, "end of file");
	/* A peer that is gone takes frames and forgets them. */
	put(a.c, "x");
	assert_int_equal(chan_queued_bytes(a.c), 0);
	chan_flush(a.c);
	run_turns(3);
	assert_int_equal(a.gone_n, 1);
}

static void
end_inside_a_frame(void **state)
{
	(void)state;
	make(&a, 0);
	raw(fds[1], "\0\0\0\4la", 6);
	close(fds[1]);
	run();
	expect_got(&a, "");
	assert_string_equal(a.why, "end of file inside a frame");
}

/*
 * A worker that dies leaves its last ACKs in the socket.  Writing to it fails first: what it
 * sent is read all the same, and the failure is told from the loop, not inside chan_flush.
 */
static void
write_fails_after_last_words(void **state)
{
	(void)state;
	make(&a, 0);
	raw(fds[1], "\0\0\0\4last\0\0\0\5words", 17);
	close(fds[1]);
	put(a.c, "x");
	chan_flush(a.c);
	assert_int_equal(a.gone_n, 0);
	assert_true(chan_gone(a.c));
	run();
	expect_got(&a, "last|words|");
	assert_string_equal(a.why, "write: Broken pipe");
}

/* A peer that shut its reading side and keeps the other open sends no end of file. */
static void
half_closed(void **state)
{
	(void)state;
	make(&a, 0);
	assert_int_equal(shutdown(fds[1], SHUT_RD), 0);
	put(a.c, "x");
	run();
	assert_string_equal(a.why, "write: Broken pipe");
	close(fds[1]);
}

/* Twice what a socket holds: the rest follows when the peer reads, and never spins before. */
static void
slow_peer(void **state)
{
	char		*bytes = mem_alloc(1 << 20);
	size_t		 want, seen = 0;
	uint64_t	 turns;

	(void)state;
	make(&a, 0);
	for (int i = 0; i < 1000; i++) {
		struct buf	*out = chan_begin(a.c);

		memset(buf_room(out, 1000), i, 1000);
		buf_added(out, 1000);
		assert_int_equal(chan_end(a.c), 0);
	}
	want = 1000 * 1004;
	run_turns(1);
	assert_in_range(chan_queued_bytes(a.c), 1, want - 1);
	assert_false(chan_gone(a.c));
	/* Nobody reads: the loop sleeps until the bound. */
	turns = loop_turns(l);
	timer_arm_ms(bound, 50);
	loop_run(l);
	assert_true(timed_out);
	assert_in_range(loop_turns(l) - turns, 1, 3);
	for (int i = 0; i < 10000 && seen < want; i++) {
		ssize_t	 n = recv(fds[1], bytes, 1 << 20, MSG_DONTWAIT);

		if (n > 0) {
			for (ssize_t k = 0; k < n; k++, seen++) {
				size_t	 at = seen % 1004;

				if (at >= 4)
					assert_int_equal((uint8_t)bytes[k], (uint8_t)(seen / 1004));
			}
		}
		run_turns(1);
	}
	assert_int_equal(seen, want);
	assert_int_equal(chan_queued_bytes(a.c), 0);
	free(bytes);
	close(fds[1]);
}

/* A client that does not read loses its connection; the callback comes from the loop. */
static void
output_cap(void **state)
{
	char	 big[10001];

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	make(&a, 0);
	chan_out_max(a.c, 100000);
	/* More than the cap in one turn is no fault of a peer whose socket has room. */
	for (int i = 0; i < 15; i++)
		put(a.c, big);
	assert_false(chan_gone(a.c));
	for (int i = 0; i < 1000 && !chan_gone(a.c); i++)
		put(a.c, big);
	assert_true(chan_gone(a.c));
	assert_int_equal(a.gone_n, 0);
	assert_int_equal(chan_queued_bytes(a.c), 0);
	run();
	assert_int_equal(strncmp(a.why, "does not read: ", 15), 0);
	close(fds[1]);
}

static void
freed_in_its_callback(void **state)
{
	char	 byte;

	(void)state;
	make(&a, 0);
	a.free_at_frame = true;
	raw(fds[1], "\0\0\0\1a\0\0\0\1b", 10);
	run();
	expect_got(&a, "a|");
	assert_null(a.c);
	run_turns(2);
	assert_int_equal(a.frames, 1);
	assert_int_equal(a.gone_n, 0);
	assert_int_equal(recv(fds[1], &byte, 1, MSG_DONTWAIT), 0);
	close(fds[1]);
}

static void
free_sends_what_the_socket_takes(void **state)
{
	char	 bytes[16];

	(void)state;
	make(&a, 0);
	put(a.c, "bye");
	chan_free(&a.c);
	assert_int_equal(recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT), 7);
	assert_int_equal(recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT), 0);
	close(fds[1]);
}

/* 4 MiB wait in the socket of one peer, 1 frame in that of the other, which is served soon. */
static void
nobody_starves(void **state)
{
	int	 more[2], size = 4 << 20;
	char	*flood = mem_alloc(1 << 20);
	size_t	 sent = 0;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, more), 0);
	(void)setsockopt(fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	a.keep_bytes = false;
	make(&a, 0);
	for (ssize_t n; (n = send(fds[1], flood, 1 << 20, MSG_DONTWAIT)) > 0;)
		sent += (size_t)n;
	b.c = chan_new(l, more[0], "other", CAP, &ops, &b);
	raw(more[1], "\0\0\0\1x", 5);
	run_turns(1);
	assert_int_equal(b.frames, 1);
	/* Empty frames of 4 bytes: not more than a turn's share of them. */
	assert_in_range(a.frames, 1, (256 << 10) / 4);
	for (int i = 0; i < 1000 && a.frames < sent / 4; i++)
		run_turns(1);
	assert_int_equal(a.frames, sent / 4);
	free(flood);
	close(fds[1]);
	close(more[1]);
}

/* The fault: the two pieces of a frame arrive in different turns, and it is whole. */
static void
short_write(void **state)
{
	char	 bytes[32];

	(void)state;
	make(&a, 0);
	assert_int_equal(fault_set(SPAN("chan.short_write"), SPAN("for=1,match=left,arg=6"),
	    NULL), 0);
	put(a.c, "abcdef");
	loop_turn(l);
	assert_int_equal(recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT), 6);
	put(a.c, "more");
	loop_turn(l);
	assert_int_equal(recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT), 12);
	assert_memory_equal(bytes, "cdef\0\0\0\4more", 12);
	put(a.c, "whole");
	loop_turn(l);
	assert_int_equal(recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT), 9);
	close(fds[1]);
}

/* A worker's log lines are frames on its link: the line about a strike must not strike. */
static void
log_to_channel(int level, const char *class, const char *line, void *arg)
{
	(void)level;
	(void)class;
	(void)arg;
	buf_add_span(chan_begin(a.c), span_of(line));
	assert_int_equal(chan_end(a.c), 0);
}

static void
short_write_and_its_own_log(void **state)
{
	(void)state;
	make(&a, 0);
	make(&b, 1);
	assert_int_equal(fault_set(SPAN("chan.short_write"), SPAN("always"), NULL), 0);
	log_redirect(log_to_channel, NULL);
	put(a.c, "abcdef");
	run_turns(20);
	log_redirect(quiet, NULL);
	assert_int_equal(fault_set(SPAN("chan.short_write"), SPAN_NONE, NULL), 0);
	assert_int_equal(b.frames, 2);
	assert_int_equal(chan_queued_bytes(a.c), 0);
	expect_got(&b, "abcdef|fault chan.short_write strikes subject=\"left\"|");
}

/* chan_send: the message of the table, or nothing at all. */
static void
messages(void **state)
{
	struct msg_PING	 ping = { .cookie = 7 };
	struct msg_ACK	 bad = { .delivery = 0 };	/* at least 1 */
	struct msg_in	 in;
	msgpack_zone	*zone = msgpack_zone_new(1024);
	struct span	 got;

	(void)state;
	make(&a, 0);
	make(&b, 1);
	assert_int_equal(chan_send(a.c, MSG_ACK, &bad), -1);
	assert_int_equal(chan_queued_bytes(a.c), 0);
	assert_int_equal(chan_send(a.c, MSG_PING, &ping), 0);
	b.stop_at = 1;
	run();
	got = buf_span(&b.got);
	assert_int_equal(msg_unpack(span_make(got.p, got.n - 1), zone, &in), 0);
	assert_int_equal(in.type, MSG_PING);
	assert_int_equal(in.PING.cookie, 7);
	msgpack_zone_free(zone);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(there_and_back),
		TEST(one_write_a_turn),
		TEST(any_cut),
		TEST(large_frames),
		TEST(frame_above_cap_is_taken_back),
		TEST(claimed_length_above_cap),
		TEST(end_of_file),
		TEST(end_inside_a_frame),
		TEST(write_fails_after_last_words),
		TEST(half_closed),
		TEST(slow_peer),
		TEST(output_cap),
		TEST(freed_in_its_callback),
		TEST(free_sends_what_the_socket_takes),
		TEST(nobody_starves),
		TEST(short_write),
		TEST(short_write_and_its_own_log),
		TEST(messages),
	};

	return cmocka_run_group_tests_name("chan", tests, NULL, NULL);
}
