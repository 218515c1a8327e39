/*
 * server - see server.h.
 */
#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/count.h"
#include "common/log.h"
#include "worker/web/ask.h"
#include "worker/web/server.h"

#define BACKLOG		64
#define ACCEPTS		8	/* in one loop turn */

enum conn_state { CONN_ASKS, CONN_READS, CONN_LINGERS };

struct conn {
	struct server		*server;
	enum conn_state		 state;
	int			 fd;
	struct watch		*watch;
	struct timer		*timer;
	struct buf		 in, out;
	TAILQ_ENTRY(conn)	 next;
};

struct server {
	struct loop		*loop;
	struct server_bounds	 bounds;
	void			(*fn)(void *, struct span, struct server_reply *);
	void			*arg;
	int			 fd;
	struct watch		*watch;
	size_t			 conns_n;
	TAILQ_HEAD(, conn)	 conns;		/* oldest first */
};

static void
conn_free(void *arg)
{
	struct conn	*c = arg;

	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c);
}

static void
conn_close(struct conn *c)
{
	struct server	*s = c->server;

	watch_free(&c->watch);
	timer_free(&c->timer);
	close(c->fd);
	TAILQ_REMOVE(&s->conns, c, next);
	s->conns_n--;
	loop_park(s->loop, c, conn_free);
	watch_set(s->watch, LOOP_READ);
}

static void
refuse(struct conn *c)
{
	COUNT(web_refused);
	conn_close(c);
}

/* ---- the answer ---- */

static void
conn_write(struct conn *c)
{
	struct span	 s = buf_span(&c->out);
	ssize_t		 n;

	while (s.n > 0) {
		n = send(c->fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN) {
			watch_set(c->watch, LOOP_WRITE);
			return;
		}
		if (n == -1) {
			conn_close(c);
			return;
		}
		buf_drop(&c->out, (size_t)n);
		s = buf_span(&c->out);
	}
	/* Closed with something unread, the end of our answer would be lost to a reset. */
	(void)shutdown(c->fd, SHUT_WR);
	c->state = CONN_LINGERS;
	timer_arm_ms(c->timer, c->server->bounds.linger_ms);
	watch_set(c->watch, LOOP_READ);
}

static const char *
status_text(unsigned status)
{
	switch (status) {
	case 200: return "OK";
	case 400: return "Bad Request";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 431: return "Request Header Fields Too Large";
	default:  return "Service Unavailable";
	}
}

static void
reply(struct conn *c, struct server_reply *r, bool head)
{
	if (r->status == 200 || r->status == 503)
		COUNT(web_requests);
	else
		COUNT(web_refused);
	buf_printf(&c->out, "HTTP/1.1 %u %s\r\n"
	    "Content-Type: %s\r\n"
	    "Content-Length: %zu\r\n"
	    "Cache-Control: no-store\r\n"
	    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline';"
	    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
	    "X-Content-Type-Options: nosniff\r\n"
	    "Referrer-Policy: no-referrer\r\n"
	    "%sConnection: close\r\n\r\n", r->status, status_text(r->status), r->type, r->body.n,
	    r->status == 405 ? "Allow: GET, HEAD\r\n" : "");
	if (!head)
		buf_add_span(&c->out, buf_span(&r->body));
	c->state = CONN_READS;
	timer_arm_ms(c->timer, c->server->bounds.answer_ms);
	conn_write(c);
}

static void
answer(struct conn *c, enum ask verdict, const struct asked *a)
{
	struct server_reply	 r = { .status = 200, .type = "text/plain; charset=utf-8" };
	const char		*sentence = NULL;

	if (verdict == ASK_LONG) {
		r.status = 431;
		sentence = "the head of this request is too long\n";
	} else if (verdict == ASK_BAD) {
		r.status = 400;
		sentence = "this is not a request of HTTP/1.1 for a path\n";
	} else if (!a->get) {
		r.status = 405;
		sentence = "nothing can be changed here: GET and HEAD only\n";
	}
	if (sentence != NULL)
		buf_add_span(&r.body, span_of(sentence));
	else
		c->server->fn(c->server->arg, a->path, &r);
	reply(c, &r, verdict == ASK_WHOLE && a->head);
	buf_fini(&r.body);
}

/* ---- the request ---- */

static void
conn_read(struct conn *c)
{
	struct asked	 a = { .get = false };
	enum ask	 verdict;
	ssize_t		 n;

	n = read(c->fd, buf_room(&c->in, ASK_MAX), ASK_MAX);
	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		if (c->state == CONN_ASKS && c->in.n > 0)
			refuse(c);
		else
			conn_close(c);
		return;
	}
	if (c->state == CONN_LINGERS)
		return;			/* thrown away: the room is used again */
	buf_added(&c->in, (size_t)n);
	if ((verdict = ask_parse(buf_span(&c->in), &a)) != ASK_MORE)
		answer(c, verdict, &a);
}

static void
on_ready(int fd, int what, void *arg)
{
	struct conn	*c = arg;

	(void)fd;
	if (c->watch == NULL)
		return;			/* closed earlier in this turn */
	if (c->state == CONN_READS)
		conn_write(c);
	else if (what & LOOP_READ)
		conn_read(c);
}

static void
on_late(void *arg)
{
	struct conn	*c = arg;

	if (c->state == CONN_LINGERS)
		conn_close(c);
	else
		refuse(c);
}

/* ---- those who come ---- */

static bool
make_room(struct server *s)
{
	struct conn	*c;

	TAILQ_FOREACH(c, &s->conns, next)
		if (c->state != CONN_READS) {
			on_late(c);
			return true;
		}
	return false;
}

static void
conn_new(struct server *s, int fd)
{
	struct conn	*c = mem_alloc(sizeof(*c));

	c->server = s;
	c->fd = fd;
	c->watch = watch_new(s->loop, fd, on_ready, c);
	c->timer = timer_new(s->loop, on_late, c);
	timer_arm_ms(c->timer, s->bounds.ask_ms);
	watch_set(c->watch, LOOP_READ);
	TAILQ_INSERT_TAIL(&s->conns, c, next);
	s->conns_n++;
}

static void
on_come(int fd, int what, void *arg)
{
	struct server	*s = arg;
	int		 peer;

	(void)what;
	for (int i = 0; i < ACCEPTS; i++) {
		if (s->conns_n == s->bounds.conns && !make_room(s)) {
			watch_set(s->watch, 0);	/* conn_close looks again */
			return;
		}
		if ((peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) == -1)
			return;
		conn_new(s, peer);
	}
}

struct server *
server_new(struct loop *loop, const struct address *at, const struct server_bounds *bounds,
    void (*fn)(void *, struct span, struct server_reply *), void *arg, const char **why_r)
{
	static char	 why[64];
	struct server	*s;
	int		 fd, on = 1;

	fd = socket(at->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		goto refused;
	/* After a restart connections of the former one linger on: not those who listen. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (at->sa.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&at->sa, at->n) == -1 || listen(fd, BACKLOG) == -1)
		goto refused;
	s = mem_alloc(sizeof(*s));
	s->loop = loop;
	s->bounds = *bounds;
	s->fn = fn;
	s->arg = arg;
	s->fd = fd;
	TAILQ_INIT(&s->conns);
	s->watch = watch_new(loop, fd, on_come, s);
	watch_set(s->watch, LOOP_READ);
	return s;
refused:
	snprintf(why, sizeof(why), "%s", errno == EADDRINUSE ?
	    "another program listens there" : strerror(errno));
	*why_r = why;
	if (fd != -1)
		close(fd);
	return NULL;
}

void
server_free(struct server **sp)
{
	struct server	*s = *sp;
	struct conn	*c;

	if (s == NULL)
		return;
	while ((c = TAILQ_FIRST(&s->conns)) != NULL)
		conn_close(c);
	watch_free(&s->watch);
	close(s->fd);
	free(s);
	*sp = NULL;
}
