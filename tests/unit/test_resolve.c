/* resolve: against a name server of this process, which answers by the name that is asked. */
#include <sys/socket.h>
#include <sys/stat.h>

#include <arpa/inet.h>
#include <netinet/in.h>

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

#include "common/count.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/mem.h"
#include "common/resolve.h"
#include "tests/unit/fakes.h"

#define TYPE_A		1
#define TYPE_AAAA	28

struct server {
	int		 fd;
	unsigned	 port;
	struct watch	*watch;
	bool		 silent;
	unsigned	 asked;		/* queries that arrived */
	uint8_t		 last_octet;	/* of every A record */
	char		 last[256];	/* name of the last query */
};

static struct loop		*l;
static struct resolve		*r;
static struct server		 one, two;
static struct timer		*bound;
static char			 dir[] = "/tmp/test_resolve.XXXXXX";
static char			 conf[64], hosts[64];
static struct resolve_answer	 answer;
static char			 why[128];
static unsigned			 answers;
static uint64_t			 answer_turn;

static void
append(struct buf *b, const void *p, size_t n)
{
	buf_add(b, p, n);
}

static void
serve(int fd, int what, void *arg)
{
	struct server		*s = arg;
	unsigned char		 q[512];
	struct sockaddr_in	 from;
	socklen_t		 from_n = sizeof(from);
	struct sockaddr		*sa = (struct sockaddr *)&from;
	ssize_t			 n = recvfrom(fd, q, sizeof(q), MSG_DONTWAIT, sa, &from_n);
	size_t			 at = 12, name_n = 0;
	char			 name[256] = "";
	unsigned		 type, rcode = 0, records = 0;
	struct buf		 out = { 0 };

	(void)what;
	if (n < 17)
		return;
	while (at < (size_t)n && q[at] != 0) {
		size_t	 label = q[at];

		assert_true(at + label + 5 <= (size_t)n);
		name_n += (size_t)snprintf(name + name_n, sizeof(name) - name_n, "%s%.*s",
		    name_n > 0 ? "." : "", (int)label, q + at + 1);
		at += label + 1;
	}
	type = (unsigned)q[at + 1] << 8 | q[at + 2];
	at += 5;
	s->asked++;
	strlcpy(s->last, name, sizeof(s->last));
	if (s->silent || strncmp(name, "silent", 6) == 0)
		return;
	if (strcmp(name, "half.test") == 0 && type == TYPE_AAAA)
		return;
	if (strstr(name, "none.") != NULL)
		rcode = 3;
	else if (strcmp(name, "fail.test") == 0)
		rcode = 2;
	else if (strcmp(name, "empty.test") == 0)
		records = 0;
	else if (strcmp(name, "many.test") == 0)
		records = 8;
	else if (strcmp(name, "v4.test") != 0 || type == TYPE_A)
		records = 1;
	append(&out, q, 2);
	append(&out, (unsigned char[]){ 0x81, (unsigned char)(0x80 | rcode), 0, 1,
	    0, (unsigned char)records, 0, 0, 0, 0 }, 10);
	append(&out, q + 12, at - 12);
	for (unsigned i = 0; i < records; i++) {
		append(&out, (unsigned char[]){ 0xc0, 12, 0, (unsigned char)type, 0, 1,
		    0, 0, 0, 60, 0, type == TYPE_A ? 4 : 16 }, 12);
		if (type == TYPE_A) {
			unsigned char	 a[] = { 192, 0, 2, (unsigned char)(s->last_octet + i) };

			append(&out, a, sizeof(a));
		} else {
			struct in6_addr	 a;

			assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &a), 1);
			a.s6_addr[14] = (unsigned char)i;
			append(&out, &a, sizeof(a));
		}
	}
	assert_int_equal(sendto(fd, buf_span(&out).p, out.n, 0, sa, from_n), out.n);
	buf_fini(&out);
}

static void
server_start(struct server *s, uint8_t last_octet)
{
	struct sockaddr_in	 sin = { .sin_family = AF_INET };
	socklen_t		 n = sizeof(sin);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*s = (struct server){ .last_octet = last_octet };
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_not_equal(s->fd, -1);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&sin, &n), 0);
	s->port = ntohs(sin.sin_port);
	s->watch = watch_new(l, s->fd, serve, s);
	watch_set(s->watch, LOOP_READ);
}

static void
server_stop(struct server *s)
{
	watch_free(&s->watch);
	close(s->fd);
}

/* A new file in place of the old one, as editors and DHCP clients do it. */
static void
write_file(const char *path, const char *text)
{
	char	 tmp[80];
	int	 fd;

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_int_equal(rename(tmp, path), 0);
}

static void
use_server(const struct server *s, const char *more)
{
	char	 text[256];

	snprintf(text, sizeof(text), "nameserver 127.0.0.1:%u\n%s", s->port, more);
	write_file(conf, text);
}

static void
too_long(void *arg)
{
	(void)arg;
	fail_msg("no answer");
}

static int
setup(void **state)
{
	(void)state;
	log_redirect(quiet, NULL);
	l = loop_new();
	bound = timer_new(l, too_long, NULL);
	server_start(&one, 1);
	server_start(&two, 101);
	use_server(&one, "");
	write_file(hosts, "# comment\n127.0.0.9\tbox box.test # box2.test\n\n"
	    "::9 six.test box.test\nnonsense bad.test\n");
	r = resolve_new(l, conf);
	resolve_hosts(r, hosts);
	answers = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	resolve_free(&r);
	server_stop(&one);
	server_stop(&two);
	timer_free(&bound);
	loop_free(&l);
	log_redirect(NULL, NULL);
	return 0;
}

static void
keep(const struct resolve_answer *a, void *arg)
{
	struct resolve_query	**q = arg;

	answers++;
	answer = *a;
	answer_turn = loop_turns(l);
	strlcpy(why, a->why == NULL ? "" : a->why, sizeof(why));
	assert_true((a->why == NULL) == (a->addrs_n > 0));
	resolve_cancel(q);	/* in its own callback: allowed, does nothing more */
	loop_stop(l);
}

/* Ask and wait; milliseconds it took. */
static uint64_t
ask(const char *host, uint64_t deadline_ms)
{
	static struct resolve_query	*q;
	struct mono			 start = clock_mono();
	unsigned			 before = answers;
	uint64_t			 turns = loop_turns(l);

	q = resolve_start(r, host, deadline_ms, keep, &q);
	assert_int_equal(answers, before);		/* never inside the call */
	timer_arm_ms(bound, 20000);
	loop_run(l);
	timer_stop(bound);
	assert_int_equal(answers, before + 1);
	assert_true(answer_turn > turns);
	assert_null(q);
	return mono_ms_between(start, clock_mono());
}

static void
expect(const char *list)
{
	char	 text[512] = "";

	for (size_t i = 0; i < answer.addrs_n; i++) {
		strlcat(text, i > 0 ? " " : "", sizeof(text));
		strlcat(text, answer.addr[i], sizeof(text));
	}
	assert_string_equal(text, list);
}

static void
answered(void **state)
{
	(void)state;
	ask("ok.test", 5000);
	expect("192.0.2.1 2001:db8::1");
	assert_false(answer.stale);
	assert_int_equal(one.asked, 2);
	ask("OK.Test.", 5000);
	expect("192.0.2.1 2001:db8::1");
	assert_string_equal(one.last, "ok.test");
	/* A family that the name does not have is no failure and is not waited for. */
	assert_true(ask("v4.test", 5000) < 4900);
	expect("192.0.2.1");
	/* Of many, some of the second family are kept. */
	ask("many.test", 5000);
	expect("192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 "
	    "2001:db8::1 2001:db8::101");
}

static void
refused(void **state)
{
	uint64_t	 failures = count_get(COUNT_resolve_failures);
	char		 longer[300];

	(void)state;
	assert_true(ask("none.test", 5000) < 4900);
	assert_string_equal(why, "no such name");
	ask("empty.test", 5000);
	assert_string_equal(why, "the name has no address");
	assert_int_equal(count_get(COUNT_resolve_failures), failures + 2);
	/* What cannot be asked. */
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_true(ask(longer, 5000) < 4900);
	assert_int_equal(answer.addrs_n, 0);
	assert_true(ask("", 5000) < 4900);
	assert_int_equal(answer.addrs_n, 0);
	longer[70] = '\0';		/* a label has at most 63 bytes */
	assert_true(ask(longer, 5000) < 4900);
	assert_int_equal(answer.addrs_n, 0);
}

static void
silence_ends_at_the_deadline(void **state)
{
	uint64_t	 ms;

	(void)state;
	ms = ask("silent.test", 300);
	assert_in_range(ms, 300, 10000);
	assert_string_equal(why, "the name servers did not answer in time");
	assert_true(one.asked >= 2);
}

/* One family answers, the other never: 250 ms later that one is enough. */
static void
half_an_answer(void **state)
{
	uint64_t	 ms;

	(void)state;
	ms = ask("half.test", 10000);
	assert_in_range(ms, 250, 9000);
	expect("192.0.2.1");
	/* The deadline comes first when it is nearer; a busy machine may make it late, but not each time. */
	for (int i = 0; i < 50; i++) {
		ms = ask("half.test", 100);
		assert_true(ms >= 100);
		expect("192.0.2.1");
		if (ms < 240)
			break;
	}
	assert_true(ms < 240);
}

static void
earlier_answer(void **state)
{
	(void)state;
	ask("ok.test", 5000);
	one.silent = true;
	ask("ok.test", 200);
	assert_true(answer.stale);
	expect("192.0.2.1 2001:db8::1");
	/* Of no use to another name. */
	ask("other.test", 200);
	assert_int_equal(answer.addrs_n, 0);
	/* With an earlier answer at hand a long deadline is not used up. */
	assert_in_range(ask("ok.test", 15000), 1900, 14000);
	assert_true(answer.stale);
	one.silent = false;
	ask("ok.test", 5000);
	assert_false(answer.stale);
}

/* 64 names are kept, the oldest goes. */
static void
earlier_answers_are_bounded(void **state)
{
	char	 name[32];

	(void)state;
	for (int i = 0; i < 65; i++) {
		snprintf(name, sizeof(name), "n%d.test", i);
		ask(name, 5000);
		assert_int_equal(answer.addrs_n, 2);
	}
	one.silent = true;
	ask("n0.test", 50);
	assert_int_equal(answer.addrs_n, 0);
	ask("n1.test", 50);
	assert_int_equal(answer.addrs_n, 2);
	assert_true(answer.stale);
}

static void
without_asking(void **state)
{
	(void)state;
	ask("192.0.2.77", 5000);
	expect("192.0.2.77");
	ask("2001:db8::7", 5000);
	expect("2001:db8::7");
	ask("localhost", 5000);
	expect("127.0.0.1 ::1");
	ask("LOCALHOST.", 5000);
	expect("127.0.0.1 ::1");
	ask("Box.Test", 5000);
	expect("127.0.0.9 ::9");
	ask("six.test", 5000);
	expect("::9");
	assert_int_equal(one.asked, 0);
	ask("box2.test", 5000);		/* only in a comment */
	expect("192.0.2.1 2001:db8::1");
	ask("bad.test", 5000);		/* not with an address */
	expect("192.0.2.1 2001:db8::1");
	write_file(hosts, "127.0.0.10 box.test");
	ask("box.test", 5000);
	expect("127.0.0.10");
	assert_int_equal(unlink(hosts), 0);
	ask("box.test", 5000);
	expect("192.0.2.1 2001:db8::1");
}

/* The machine changes networks: the next query goes to the new server, with its search list. */
static void
file_is_read_again(void **state)
{
	struct resolve_query	*q = NULL;

	(void)state;
	ask("ok.test", 5000);
	expect("192.0.2.1 2001:db8::1");
	one.silent = true;
	/* One that is under way with the old server meanwhile ends by its deadline. */
	q = resolve_start(r, "slow.test", 400, keep, &q);
	use_server(&two, "search none.example found.example\noptions ndots:2\n");
	ask("ok.test.", 300);
	expect("192.0.2.101 2001:db8::1");
	ask("host", 5000);
	assert_string_equal(two.last, "host.found.example");
	expect("192.0.2.101 2001:db8::1");
	timer_arm_ms(bound, 20000);
	while (q != NULL)
		loop_run(l);
	timer_stop(bound);
	assert_int_equal(answer.addrs_n, 0);
}

static void
never(const struct resolve_answer *a, void *arg)
{
	(void)a;
	(void)arg;
	fail_msg("called back after the end");
}

static void
cancelled(void **state)
{
	struct resolve_query	*q[4];

	(void)state;
	q[0] = resolve_start(r, "ok.test", 100, never, NULL);
	q[1] = resolve_start(r, "silent.test", 100, never, NULL);
	q[2] = resolve_start(r, "localhost", 100, never, NULL);
	resolve_cancel(&q[0]);
	assert_null(q[0]);
	resolve_cancel(&q[2]);
	loop_turn(l);
	resolve_cancel(&q[1]);
	/* Longer than the deadlines. */
	ask("silent.test", 200);
	/* Cancelled when its answers lie in the socket already. */
	q[3] = resolve_start(r, "ok.test", 100, never, NULL);
	loop_turn(l);
	resolve_cancel(&q[3]);
	ask("v4.test", 5000);
}

static void
freed_with_queries_open(void **state)
{
	(void)state;
	(void)resolve_start(r, "silent.test", 1000, never, NULL);
	loop_turn(l);
	(void)resolve_start(r, "ok.test", 1000, never, NULL);
	(void)resolve_start(r, "localhost", 1000, never, NULL);
	resolve_free(&r);
	assert_null(r);
	for (int i = 0; i < 10; i++)
		loop_turn(l);
}

/* The callback may end the resolver itself: a worker that exits for lack of an address. */
static void
free_resolver(const struct resolve_answer *a, void *arg)
{
	(void)a;
	(void)arg;
	resolve_free(&r);
	loop_stop(l);
}

static void
freed_in_a_callback(void **state)
{
	(void)state;
	(void)resolve_start(r, "ok.test", 5000, free_resolver, NULL);
	(void)resolve_start(r, "silent.test", 5000, never, NULL);
	timer_arm_ms(bound, 20000);
	loop_run(l);
	assert_null(r);
}

static void
silent_by_fault(void **state)
{
	(void)state;
	assert_int_equal(fault_set(SPAN("resolve.silent"), SPAN("match=ok,for=1"), NULL), 0);
	ask("ok.test", 200);
	assert_string_equal(why, "the name servers did not answer in time");
	assert_int_equal(one.asked, 0);
	ask("ok.test", 5000);
	expect("192.0.2.1 2001:db8::1");
}

/* No file: the server of this machine is asked, whatever that is; the deadline holds. */
static void
no_file(void **state)
{
	char	 none[80];

	(void)state;
	resolve_free(&r);
	snprintf(none, sizeof(none), "%s/none", dir);
	r = resolve_new(l, none);
	assert_true(ask("bulkhead.invalid", 300) < 10000);
	assert_int_equal(answer.addrs_n, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		TEST(answered),
		TEST(refused),
		TEST(silence_ends_at_the_deadline),
		TEST(half_an_answer),
		TEST(earlier_answer),
		TEST(earlier_answers_are_bounded),
		TEST(without_asking),
		TEST(file_is_read_again),
		TEST(cancelled),
		TEST(freed_with_queries_open),
		TEST(freed_in_a_callback),
		TEST(silent_by_fault),
		TEST(no_file),
	};
	int	 failed;

	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(conf, sizeof(conf), "%s/resolv.conf", dir);
	snprintf(hosts, sizeof(hosts), "%s/hosts", dir);
	failed = cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
	unlink(conf);
	unlink(hosts);
	rmdir(dir);
	return failed;
}
