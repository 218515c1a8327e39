/* server, statsd: real sockets on the loopback address; bounds short enough to be waited for. */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/count.h"
#include "worker/web/server.h"
#include "worker/web/statsd.h"

#define BIG	(8u << 20)	/* more than the kernel buffers */

static struct loop	*loop;
static struct server	*server;
static struct address	 at;

/* A free port of the loopback address. */
static void
pick(int type)
{
	struct sockaddr_in	 in = { .sin_family = AF_INET };
	socklen_t		 n = sizeof(in);
	char			 text[32];
	int			 fd = socket(AF_INET, type, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
	close(fd);
	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(in.sin_port));
	assert_true(address_parse(text, &at));
}

static void
answer(void *arg, struct span path, struct server_reply *r)
{
	(void)arg;
	if (span_is(path, "/big")) {
		memset(buf_room(&r->body, BIG), 'x', BIG);
		buf_added(&r->body, BIG);
	} else
		buf_printf(&r->body, "hello\n");
}

static void
start(size_t conns, uint64_t ask_ms, uint64_t answer_ms)
{
	const struct server_bounds	 b = { conns, ask_ms, answer_ms, 50 };
	const char			*why = NULL;

	loop = loop_new();
	pick(SOCK_STREAM);
	server = server_new(loop, &at, &b, answer, NULL, &why);
	assert_non_null(server);
}

static int
stop(void **state)
{
	(void)state;
	server_free(&server);
	loop_free(&loop);
	return 0;
}

static int
come(const char *text)
{
	int	 fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)connect(fd, (struct sockaddr *)&at.sa, at.n);
	for (struct pollfd p = { .fd = fd, .events = POLLOUT }; poll(&p, 1, 0) != 1;)
		loop_turn(loop);
	if (*text != '\0')
		assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	return fd;
}

/* All up to the end, its length; the head goes to dst. */
static size_t
read_all(int fd, char *dst, size_t dst_bytes)
{
	static char	 some[65536];
	size_t		 all = 0;
	ssize_t		 n;

	memset(dst, 0, dst_bytes);
	while ((n = recv(fd, some, sizeof(some), 0)) != 0) {
		if (n > 0 && all < dst_bytes - 1)
			memcpy(dst + all, some, (size_t)n < dst_bytes - 1 - all ? (size_t)n :
			    dst_bytes - 1 - all);
		if (n > 0)
			all += (size_t)n;
		else if (errno == ECONNRESET)
			break;
		loop_turn(loop);
	}
	close(fd);
	return all;
}

#define GET(path)	"GET " path " HTTP/1.1\r\n\r\n"

static void
whole_answers(void **state)
{
	char	 head[1024];
	size_t	 n;

	(void)state;
	start(4, 5000, 5000);
	n = read_all(come(GET("/")), head, sizeof(head));
	assert_int_equal(strncmp(head, "HTTP/1.1 200 OK\r\n", 17), 0);
	assert_string_equal(strstr(head, "\r\n\r\n"), "\r\n\r\nhello\n");
	assert_int_equal(n, strlen(head));
	(void)read_all(come("HEAD / HTTP/1.1\r\n\r\n"), head, sizeof(head));
	assert_non_null(strstr(head, "Content-Length: 6\r\n"));
	assert_string_equal(strstr(head, "\r\n\r\n"), "\r\n\r\n");
	/* In many pieces, and whole. */
	n = read_all(come(GET("/big")), head, sizeof(head));
	assert_int_equal(n - (size_t)(strstr(head, "\r\n\r\n") + 4 - head), BIG);
}

/* Whoever does not read is let go, and whoever waited behind it is served. */
static void
who_does_not_read(void **state)
{
	uint64_t	 refused = count_get(COUNT_web_refused);
	char		 head[1024];
	int		 deaf[2];

	(void)state;
	start(2, 5000, 50);
	for (int i = 0; i < 2; i++)
		deaf[i] = come(GET("/big"));
	(void)read_all(come(GET("/")), head, sizeof(head));
	assert_int_equal(strncmp(head, "HTTP/1.1 200 OK\r\n", 17), 0);
	while (count_get(COUNT_web_refused) < refused + 2)
		loop_turn(loop);
	for (int i = 0; i < 2; i++)
		close(deaf[i]);
}

static void
who_does_not_ask(void **state)
{
	uint64_t	 refused = count_get(COUNT_web_refused);
	char		 head[1024];
	int		 silent = 0;

	(void)state;
	start(2, 60000, 5000);
	/* More than there is room for: the oldest goes, nobody waits a minute. */
	for (int i = 0; i < 5; i++)
		silent = come("GET / HT");
	(void)read_all(come(GET("/")), head, sizeof(head));
	assert_int_equal(strncmp(head, "HTTP/1.1 200 OK\r\n", 17), 0);
	assert_true(count_get(COUNT_web_refused) >= refused + 3);
	server_free(&server);
	loop_free(&loop);

	/* Room for all: its time is over. */
	start(9, 50, 5000);
	silent = come("");
	assert_int_equal(read_all(silent, head, sizeof(head)), 0);
}

static void
taken(void **state)
{
	const struct server_bounds	 b = { 2, 1000, 1000, 50 };
	const char			*why = NULL;

	(void)state;
	start(2, 1000, 1000);
	assert_null(server_new(loop, &at, &b, answer, NULL, &why));
	assert_string_equal(why, "another program listens there");
	assert_true(address_parse("192.0.2.1:9", &at));
	assert_null(server_new(loop, &at, &b, answer, NULL, &why));
	assert_non_null(strstr(why, "assign"));
}

/* ---- statsd ---- */

static json_t *
counted(uint64_t calls, uint64_t gaps)
{
	return json_pack("{s:[{s:s,s:I},{s:s,s:I},{s:s,s:I}],s:{s:{s:i}}}", "counters",
	    "name", "calls", "value", (json_int_t)calls, "name", "gaps", "value", (json_int_t)gaps,
	    "name", "of another version", "value", (json_int_t)5,
	    "status", "deliveries", "waiting", 3);
}

static const char *
heard(int fd)
{
	static char	 text[STATSD_PACKET_MAX + 1];
	ssize_t		 n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static void
push(struct statsd *sd, uint64_t calls, uint64_t gaps, uint64_t at_ms)
{
	struct snap	 s = { .doc = counted(calls, gaps) };

	assert_non_null(s.doc);
	statsd_snap(sd, &s, (struct mono){ at_ms * 1000 });
	json_decref((json_t *)(uintptr_t)s.doc);
}

#define GAUGES	"bulkhead.deliveries.waiting:3|g\nbulkhead.deliveries.given:0|g\n" \
		"bulkhead.deliveries.aside:0|g\nbulkhead.gateway.live:0|g"

static void
statsd_pushes_gains(void **state)
{
	struct statsd	*sd;
	int		 fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)state;
	pick(SOCK_DGRAM);
	assert_int_equal(bind(fd, (struct sockaddr *)&at.sa, at.n), 0);
	sd = statsd_new(&at, true);
	push(sd, 7, 0, 1000);
	assert_string_equal(heard(fd), "bulkhead.calls:7|c\n" GAUGES);
	push(sd, 9, 0, 10999);
	assert_string_equal(heard(fd), "");
	push(sd, 10, 2, 11000);
	assert_string_equal(heard(fd), "bulkhead.calls:3|c\nbulkhead.gaps:2|c\n" GAUGES);
	statsd_free(&sd);
	/* A successor does not push again what its forerunner may have. */
	sd = statsd_new(&at, false);
	push(sd, 10, 2, 1000);
	assert_string_equal(heard(fd), GAUGES);
	push(sd, 11, 2, 11000);
	assert_string_equal(heard(fd), "bulkhead.calls:1|c\n" GAUGES);
	statsd_free(&sd);
	close(fd);
}

/* What could not be sent is counted, and part of the next push. */
static void
statsd_that_cannot_send(void **state)
{
	uint64_t	 failed = count_get(COUNT_statsd_failures);
	struct statsd	*sd;
	int		 fd = socket(AF_INET, SOCK_DGRAM, 0), null, its, keep;

	(void)state;
	pick(SOCK_DGRAM);
	assert_int_equal(bind(fd, (struct sockaddr *)&at.sa, at.n), 0);
	null = open("/dev/null", O_WRONLY);
	its = dup(null);
	close(its);		/* the next descriptor: that of the statsd */
	sd = statsd_new(&at, true);
	keep = dup(its);
	dup2(null, its);
	push(sd, 7, 0, 1000);
	assert_int_equal(count_get(COUNT_statsd_failures), failed + 1);
	dup2(keep, its);
	push(sd, 8, 0, 11000);
	assert_string_equal(heard(fd), "bulkhead.calls:8|c\n" GAUGES);
	assert_int_equal(count_get(COUNT_statsd_failures), failed + 1);
	statsd_free(&sd);
	close(keep);
	close(null);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test_teardown(whole_answers, stop),
		cmocka_unit_test_teardown(who_does_not_read, stop),
		cmocka_unit_test_teardown(who_does_not_ask, stop),
		cmocka_unit_test_teardown(taken, stop),
		cmocka_unit_test(statsd_pushes_gains),
		cmocka_unit_test(statsd_that_cannot_send),
	};

	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
