/*
 * fetch: files of messages against scripted bytes.  The server is in this process and on the same
 * loop; what it answers depends on the path.
 */
#include <arpa/inet.h>
#include <sys/socket.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/mem.h"
#include "worker/chat/fetch.h"

#define PEERS_MAX	16
#define PATIENCE_MS	10000

static const struct page {
	const char	*path, *bytes;
} pages[] = {
	{ "/file?ex=1&is=2", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\x89PNG" },
	{ "/long", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\ntwelve bytes" },
	{ "/cut", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\ntwel" },
	{ "/moved", "HTTP/1.1 302 Found\r\nLocation: /file?ex=1&is=2\r\nContent-Length: 0\r\n\r\n" },
	{ "/gone", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone" },
	{ "/silent", NULL },
};

static struct loop	*loop;
static struct resolve	*names;
static struct fetch	*fetch;
static struct watch	*listening;
static struct timer	*patience;
static int		 listen_fd;
static unsigned		 port, accepted_n, requests_n, open_n;
static struct peer {
	int		 fd;
	struct watch	*watch;
} peers[PEERS_MAX];

static struct want {
	struct fetch_job	*job;
	char			 got[32];
	unsigned		 told_n;
} wants[4];
static unsigned		 left_n;	/* that have not been told */

/* ---- the server ---- */

static void
peer_close(struct peer *p)
{
	watch_free(&p->watch);
	close(p->fd);
	p->fd = -1;
	open_n--;
}

static void
on_peer(int fd, int what, void *arg)
{
	struct peer	*p = arg;
	char		 in[2048], path[64];
	ssize_t		 n = read(fd, in, sizeof(in) - 1);

	(void)what;
	if (n <= 0) {
		peer_close(p);
		if (left_n == 0)
			loop_stop(loop);
		return;
	}
	in[n] = '\0';
	requests_n++;
	assert_int_equal(sscanf(in, "GET %63s HTTP/1.1", path), 1);
	assert_non_null(strstr(in, "User-Agent: test\r\n"));
	assert_null(strcasestr(in, "authorization"));
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		const char	*bytes = pages[i].bytes;

		if (strcmp(path, pages[i].path) != 0)
			continue;
		if (bytes == NULL)
			loop_stop(loop);
		else
			assert_int_equal(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), strlen(bytes));
		if (strcmp(path, "/cut") == 0)
			peer_close(p);
		return;
	}
	fail();
}

static void
on_accept(int fd, int what, void *arg)
{
	int	 one = accept(fd, NULL, NULL);

	(void)what;
	(void)arg;
	assert_true(one >= 0 && accepted_n < PEERS_MAX);
	peers[accepted_n] = (struct peer){ .fd = one };
	peers[accepted_n].watch = watch_new(loop, one, on_peer, &peers[accepted_n]);
	watch_set(peers[accepted_n++].watch, LOOP_READ);
	open_n++;
}

static void
out_of_patience(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

/* The resolver warns of its empty resolv.conf. */
static void
quiet(int level, const char *class, const char *line, void *arg)
{
	(void)class;
	(void)line;
	(void)arg;
	assert_true(level > LOG_ERR);
}

static int
setup(void **state)
{
	struct sockaddr_in	 sin = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t		 n = sizeof(sin);

	(void)state;
	log_redirect(quiet, NULL);
	memset(wants, 0, sizeof(wants));
	accepted_n = requests_n = open_n = left_n = 0;
	loop = loop_new();
	names = resolve_new(loop, "/dev/null");
	fetch = fetch_new(loop, names, "test", NULL, 1000);
	patience = timer_new(loop, out_of_patience, NULL);
	listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listen_fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(listen_fd, PEERS_MAX), 0);
	assert_int_equal(getsockname(listen_fd, (struct sockaddr *)&sin, &n), 0);
	port = ntohs(sin.sin_port);
	listening = watch_new(loop, listen_fd, on_accept, NULL);
	watch_set(listening, LOOP_READ);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	fetch_free(&fetch);
	assert_null(fetch);
	for (size_t i = 0; i < accepted_n; i++)
		if (peers[i].fd >= 0)
			peer_close(&peers[i]);
	watch_free(&listening);
	close(listen_fd);
	timer_free(&patience);
	resolve_free(&names);
	loop_free(&loop);
	log_redirect(NULL, NULL);
	return 0;
}

/* ---- the asker ---- */

static void
on_file(void *arg, struct span file)
{
	struct want	*w = arg;

	w->told_n++;
	w->job = NULL;
	span_copy(file, w->got, sizeof(w->got));
	if (--left_n == 0)
		loop_stop(loop);
}

static void
start(size_t i, const char *path, uint64_t max_bytes)
{
	char	*url = mem_printf("http://127.0.0.1:%u%s", port, path);

	wants[i].job = fetch_start(fetch, url, max_bytes, on_file, &wants[i]);
	assert_non_null(wants[i].job);
	assert_int_equal(wants[i].told_n, 0);		/* never from inside */
	left_n++;
	free(url);
}

static void
run(void)
{
	timer_arm_ms(patience, PATIENCE_MS);
	loop_run(loop);
	timer_stop(patience);
}

/* ---- the tests ---- */

static void
files_come(void **state)
{
	(void)state;
	start(0, "/file?ex=1&is=2", 4);
	start(1, "/long", 12);
	run();
	assert_string_equal(wants[0].got, "\x89PNG");
	assert_string_equal(wants[1].got, "twelve bytes");
	/* The server is known: its connections are used again. */
	start(2, "/long", 64);
	run();
	assert_string_equal(wants[2].got, "twelve bytes");
	assert_true(requests_n == 3 && accepted_n <= 2);
}

static void
what_does_not_come_is_empty(void **state)
{
	static const char *const	 paths[] = { "/long", "/cut", "/moved", "/gone" };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		start(i, paths[i], 11);			/* one byte too few for /long */
	run();
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(wants[i].told_n, 1);
		assert_string_equal(wants[i].got, "");
	}
	assert_int_equal(requests_n, 4);		/* nothing again, no redirect followed */
}

static void
nobody_listens(void **state)
{
	(void)state;
	watch_free(&listening);
	close(listen_fd);
	start(0, "/file?ex=1&is=2", 4);
	run();
	assert_int_equal(wants[0].told_n, 1);
	assert_string_equal(wants[0].got, "");
	listen_fd = -1;
}

static void
cancelled_ones_never_call(void **state)
{
	(void)state;
	start(0, "/silent", 4);
	run();						/* until the server has it */
	assert_int_equal(requests_n, 1);
	left_n = 0;
	fetch_cancel(&wants[0].job);
	assert_null(wants[0].job);
	run();						/* until the server sees it closed */
	assert_int_equal(open_n, 0);
	assert_int_equal(wants[0].told_n, 0);
	/* One that has not left yet. */
	start(1, "/long", 64);
	fetch_cancel(&wants[1].job);
	start(2, "/long", 64);
	left_n = 1;
	run();
	assert_int_equal(wants[1].told_n, 0);
	assert_int_equal(wants[2].told_n, 1);
}

static void
urls_that_will_not_do(void **state)
{
	static const char *const	 urls[] = {
		"", "x", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://example.com/x",
		"http://10.0.0.1/x", "http://127.0.0.1.example.com/x", "https://", "//cdn/x",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		assert_null(fetch_start(fetch, urls[i], 64, on_file, &wants[0]));
	assert_int_equal(accepted_n, 0);
}

static void
few_servers(void **state)
{
	char	 url[64];

	(void)state;
	for (unsigned i = 1; i <= FETCH_SERVERS + 1; i++) {
		snprintf(url, sizeof(url), "http://127.0.0.1:%u/x", i);
		wants[0].job = fetch_start(fetch, url, 64, on_file, &wants[0]);
		assert_true((wants[0].job != NULL) == (i <= FETCH_SERVERS));
		if (wants[0].job != NULL)
			fetch_cancel(&wants[0].job);
	}
	assert_int_equal(wants[0].told_n, 0);
}

int
main(void)
{
#define TEST(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest	 tests[] = {
		TEST(files_come),
		TEST(what_does_not_come_is_empty),
		TEST(nobody_listens),
		TEST(cancelled_ones_never_call),
		TEST(urls_that_will_not_do),
		TEST(few_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
