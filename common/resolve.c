/*
 * resolve - names to addresses on evdns, A and AAAA, with a deadline.
 */
#include <sys/queue.h>
#include <sys/stat.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <event2/dns.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/count.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/resolve.h"

#define NAME_MAX_BYTES	254		/* RFC 1035: 253 characters and the dot at the end */
#define CACHE_MAX	64
#define CACHE_MS	(3600 * 1000)
#define SECOND_MS	250		/* for the other family; RFC 8305 has 50, DNS may be slow */
#define STALE_MS	2000		/* of silence, then the earlier answer if there is one */
#define HOSTS_BYTES	(256u * 1024)
#define V6_KEPT		2		/* places that a long list of IPv4 addresses leaves */

enum { V4, V6, FAMILIES };

/* Nothing of it outlives a change of the file: servers, search list and options are read anew. */
struct dns {
	struct evdns_base	*base;
	struct loop		*loop;
	size_t			 parts_n;	/* requests that evdns has not called back for */
	bool			 retired;	/* freed with the last of them */
};

/* One request of evdns.  It calls back even when cancelled, a turn later. */
struct part {
	struct dns		*dns;
	struct resolve_query	*query;		/* NULL: nobody waits any more */
	struct evdns_request	*req;
	int			 family;
};

struct addrs {
	char	 addr[RESOLVE_ADDRS_MAX][RESOLVE_TEXT_MAX];
	size_t	 n;
};

struct resolve_query {
	LIST_ENTRY(resolve_query) link;
	struct resolve		*r;
	char			 host[NAME_MAX_BYTES + 1];	/* lower case, no dot at the end */
	bool			 whole;				/* there was one: no search list */
	struct timer		*timer;
	struct mono		 started;
	uint64_t		 deadline_ms;
	struct part		*part[FAMILIES];		/* NULL: back, or never asked */
	struct addrs		 found[FAMILIES];
	int			 err[FAMILIES];			/* DNS_ERR_* */
	bool			 known;		/* found without a query; the timer only tells it */
	bool			 told;		/* in or after its callback */
	void			(*fn)(const struct resolve_answer *, void *);
	void			*arg;
};

struct cached {
	TAILQ_ENTRY(cached)	 link;			/* newest first */
	char			 host[NAME_MAX_BYTES + 1];
	struct mono		 when;
	struct addrs		 addrs;
};

struct fileid {
	dev_t		 dev;
	ino_t		 ino;
	off_t		 size;
	struct timespec	 mtime;
};

struct resolve {
	struct loop	*loop;
	char		*conf_path;
	struct fileid	 conf_id;
	char		*hosts_path;
	struct fileid	 hosts_id;
	char		*hosts;			/* text of the file, NULL when there is none */
	struct dns	*dns;
	LIST_HEAD(queryq, resolve_query) queries;
	TAILQ_HEAD(cacheq, cached) cache;
	size_t		 cache_n;
};

/* Is the file another one than id_r says?  id_r is brought up to date; all 0 for no file. */
static bool
file_changed(const char *path, struct fileid *id_r)
{
	struct fileid	 id;
	struct stat	 st;

	memset(&id, 0, sizeof(id));
	if (stat(path, &st) == 0) {
		id.dev = st.st_dev;
		id.ino = st.st_ino;
		id.size = st.st_size;
		id.mtime = st.st_mtim;
	}
	if (memcmp(&id, id_r, sizeof(id)) == 0)
		return false;
	*id_r = id;
	return true;
}

static void
dns_free(void *arg)
{
	struct dns	*d = arg;

	evdns_base_free(d->base, 1);
	free(d);
}

static void
dns_retire(struct dns *d)
{
	d->retired = true;
	if (d->parts_n == 0)
		loop_park(d->loop, d, dns_free);
}

static void
dns_load(struct resolve *r)
{
	static const char *const settings[][2] = {
		{ "timeout:", "2" },		/* of one try; the deadlines are some 10 s */
		{ "attempts:", "4" },
		{ "randomize-case:", "0" },	/* some servers answer in lower case */
		{ "initial-probe-timeout:", "1" },
		{ "max-probe-timeout:", "10" },
	};
	struct dns	*d;
	int		 rc;

	if (r->dns != NULL)
		dns_retire(r->dns);
	d = mem_alloc(sizeof(*d));
	d->loop = r->loop;
	if ((d->base = evdns_base_new(loop_base(r->loop), 0)) == NULL)
		abort();
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		(void)evdns_base_set_option(d->base, settings[i][0], settings[i][1]);
	/* The options of the file come after ours and win. */
	rc = evdns_base_resolv_conf_parse(d->base,
	    DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC, r->conf_path);
	if (rc != 0)
		log_warnx("resolve: no name servers in %s: asking 127.0.0.1", r->conf_path);
	r->dns = d;
}

static void
hosts_load(struct resolve *r)
{
	struct stat	 st;
	ssize_t		 n = -1;
	int		 fd;

	free(r->hosts);
	r->hosts = NULL;
	if ((fd = open(r->hosts_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) == -1)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		r->hosts = mem_alloc(HOSTS_BYTES + 1);
		n = read(fd, r->hosts, HOSTS_BYTES);
	}
	close(fd);
	if (n <= 0) {
		free(r->hosts);
		r->hosts = NULL;
	} else {
		r->hosts[n] = '\0';
		r->hosts = mem_grow(r->hosts, (size_t)n + 1, 1);
	}
}

static void
add_text(struct addrs *a, const char *text)
{
	if (a->n < RESOLVE_ADDRS_MAX && strlen(text) < RESOLVE_TEXT_MAX)
		strcpy(a->addr[a->n++], text);
}

/* Into the list of its family; false when it is no address. */
static bool
add_literal(struct resolve_query *q, const char *text)
{
	unsigned char	 bin[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, text, bin) == 1)
		add_text(&q->found[V4], text);
	else if (inet_pton(AF_INET6, text, bin) == 1)
		add_text(&q->found[V6], text);
	else
		return false;
	return true;
}

static bool
in_hosts(struct resolve_query *q)
{
	bool	 found = false;

	for (const char *p = q->r->hosts; p != NULL && *p != '\0';) {
		size_t		 n = strcspn(p, "\n");
		char		 line[1024];
		char		*word, *addr = NULL, *at = line;

		span_copy(span_make(p, n), line, sizeof(line));
		p += n + (p[n] == '\n');
		line[strcspn(line, "#")] = '\0';
		while ((word = strsep(&at, " \t\r")) != NULL) {
			if (*word == '\0')
				continue;
			if (addr == NULL)
				addr = word;
			else if (strcasecmp(word, q->host) == 0) {
				found = add_literal(q, addr) || found;
				break;
			}
		}
	}
	return found;
}

static bool
find_without_asking(struct resolve_query *q)
{
	if (add_literal(q, q->host))
		return true;
	if (strcmp(q->host, "localhost") == 0) {
		add_text(&q->found[V4], "127.0.0.1");
		add_text(&q->found[V6], "::1");
		return true;
	}
	if (file_changed(q->r->hosts_path, &q->r->hosts_id))
		hosts_load(q->r);
	return in_hosts(q);
}

static struct cached *
cache_find(struct resolve *r, const char *host)
{
	struct cached	*c;

	TAILQ_FOREACH(c, &r->cache, link) {
		if (strcmp(c->host, host) != 0)
			continue;
		if (mono_ms_between(c->when, loop_now(r->loop)) < CACHE_MS)
			return c;
		TAILQ_REMOVE(&r->cache, c, link);
		r->cache_n--;
		free(c);
		break;
	}
	return NULL;
}

static void
cache_put(struct resolve *r, const char *host, const struct addrs *addrs)
{
	struct cached	*c = cache_find(r, host);

	if (c == NULL && r->cache_n == CACHE_MAX)
		c = TAILQ_LAST(&r->cache, cacheq);
	if (c == NULL) {
		c = mem_alloc(sizeof(*c));
		r->cache_n++;
	} else {
		TAILQ_REMOVE(&r->cache, c, link);
	}
	strcpy(c->host, host);
	c->when = loop_now(r->loop);
	c->addrs = *addrs;
	TAILQ_INSERT_HEAD(&r->cache, c, link);
}

static void
let_go(struct resolve_query *q)
{
	for (int f = 0; f < FAMILIES; f++) {
		struct part	*p = q->part[f];

		if (p == NULL)
			continue;
		q->part[f] = NULL;
		p->query = NULL;
		evdns_cancel_request(p->dns->base, p->req);
	}
	LIST_REMOVE(q, link);
	timer_free(&q->timer);
}

/* The addresses of both families, IPv4 first, with room kept for some IPv6. */
static void
merge(const struct resolve_query *q, struct addrs *out)
{
	const struct addrs	*v4 = &q->found[V4], *v6 = &q->found[V6];
	size_t			 keep = v6->n < V6_KEPT ? v6->n : V6_KEPT;

	for (size_t i = 0; i < v4->n && out->n < RESOLVE_ADDRS_MAX - keep; i++)
		add_text(out, v4->addr[i]);
	for (size_t i = 0; i < v6->n; i++)
		add_text(out, v6->addr[i]);
}

/* Why there is no address.  denied_r: a server said so, an earlier answer would be wrong. */
static const char *
reason(const struct resolve_query *q, bool *denied_r)
{
	*denied_r = false;
	for (int f = 0; f < FAMILIES; f++) {
		if (q->part[f] != NULL || q->err[f] == DNS_ERR_TIMEOUT)
			return "the name servers did not answer in time";
	}
	/* That there is no such name is said of both families, that one is missing of one. */
	for (int f = 0; f < FAMILIES; f++) {
		if (q->err[f] == DNS_ERR_NOTEXIST) {
			*denied_r = true;
			return "no such name";
		}
	}
	for (int f = 0; f < FAMILIES; f++) {
		if (q->err[f] != DNS_ERR_NONE && q->err[f] != DNS_ERR_NODATA)
			return "the name servers failed";
	}
	*denied_r = true;
	return "the name has no address";
}

static void
finish(struct resolve_query *q)
{
	struct resolve_answer	 a = { .addrs_n = 0 };
	struct addrs		 all = { .n = 0 };
	struct cached		*old;
	bool			 denied;
	uint64_t		 age_ms;

	merge(q, &all);
	if (all.n > 0) {
		if (!q->known)
			cache_put(q->r, q->host, &all);
	} else {
		a.why = reason(q, &denied);
		if (!denied && (old = cache_find(q->r, q->host)) != NULL) {
			all = old->addrs;
			a.stale = true;
			age_ms = mono_ms_between(old->when, loop_now(q->r->loop));
			log_warnx("resolve: %s: %s; using the earlier answer age_ms=%" PRIu64,
			    q->host, a.why, age_ms);
			a.why = NULL;
		} else {
			COUNT(resolve_failures);
		}
	}
	memcpy(a.addr, all.addr, sizeof(a.addr));
	a.addrs_n = all.n;
	q->told = true;
	let_go(q);
	q->fn(&a, q->arg);
	free(q);
}

static void
timed_out(void *arg)
{
	struct resolve_query	*q = arg;

	finish(q);
}

/* Time until the query ends with what there is then. */
static void
arm(struct resolve_query *q)
{
	uint64_t	 ms = q->deadline_ms;
	bool		 half = q->found[V4].n > 0 || q->found[V6].n > 0;
	struct mono	 end, soon;

	if (!half && ms > STALE_MS && cache_find(q->r, q->host) != NULL)
		ms = STALE_MS;
	end = mono_add_ms(q->started, ms);
	soon = mono_add_ms(clock_mono(), SECOND_MS);
	timer_arm_at(q->timer, half && mono_before(soon, end) ? soon : end);
}

static void
part_done(int err, char type, int n, int ttl, void *addresses, void *arg)
{
	struct part		*p = arg;
	struct resolve_query	*q = p->query;
	struct dns		*d = p->dns;
	int			 family = p->family;

	(void)ttl;
	free(p);
	d->parts_n--;
	if (d->retired && d->parts_n == 0)
		loop_park(d->loop, d, dns_free);
	if (q == NULL)
		return;
	q->part[family] = NULL;
	q->err[family] = err;
	if (err == DNS_ERR_NONE && type == (family == V4 ? DNS_IPv4_A : DNS_IPv6_AAAA)) {
		for (int i = 0; i < n; i++) {
			char	 text[RESOLVE_TEXT_MAX];

			if (family == V4)
				inet_ntop(AF_INET, (struct in_addr *)addresses + i,
				    text, sizeof(text));
			else
				inet_ntop(AF_INET6, (struct in6_addr *)addresses + i,
				    text, sizeof(text));
			add_text(&q->found[family], text);
		}
	}
	if (q->part[V4] == NULL && q->part[V6] == NULL)
		finish(q);
	else
		arm(q);
}

static void
ask(struct resolve_query *q, int family)
{
	struct dns	*d = q->r->dns;
	struct part	*p = mem_alloc(sizeof(*p));
	int		 flags = q->whole ? DNS_QUERY_NO_SEARCH : 0;

	*p = (struct part){ .dns = d, .query = q, .family = family };
	/* evdns calls back from the loop, never from inside. */
	if (family == V4)
		p->req = evdns_base_resolve_ipv4(d->base, q->host, flags, part_done, p);
	else
		p->req = evdns_base_resolve_ipv6(d->base, q->host, flags, part_done, p);
	if (p->req == NULL) {
		q->err[family] = DNS_ERR_FORMAT;	/* not a name that fits into a query */
		free(p);
		return;
	}
	d->parts_n++;
	q->part[family] = p;
}

struct resolve *
resolve_new(struct loop *l, const char *resolv_conf)
{
	struct resolve	*r = mem_alloc(sizeof(*r));

	r->loop = l;
	r->conf_path = mem_strdup(resolv_conf);
	LIST_INIT(&r->queries);
	TAILQ_INIT(&r->cache);
	(void)file_changed(r->conf_path, &r->conf_id);
	dns_load(r);
	resolve_hosts(r, "/etc/hosts");
	return r;
}

void
resolve_hosts(struct resolve *r, const char *path)
{
	free(r->hosts_path);
	r->hosts_path = mem_strdup(path);
	(void)file_changed(r->hosts_path, &r->hosts_id);
	hosts_load(r);
}

void
resolve_free(struct resolve **rp)
{
	struct resolve		*r = *rp;
	struct resolve_query	*q;
	struct cached		*c;

	if (r == NULL)
		return;
	*rp = NULL;
	while ((q = LIST_FIRST(&r->queries)) != NULL) {
		let_go(q);
		free(q);
	}
	while ((c = TAILQ_FIRST(&r->cache)) != NULL) {
		TAILQ_REMOVE(&r->cache, c, link);
		free(c);
	}
	dns_retire(r->dns);
	free(r->conf_path);
	free(r->hosts_path);
	free(r->hosts);
	free(r);
}

struct resolve_query *
resolve_start(struct resolve *r, const char *host, uint64_t deadline_ms,
    void (*fn)(const struct resolve_answer *, void *), void *arg)
{
	struct resolve_query	*q = mem_alloc(sizeof(*q));
	size_t			 n;

	q->r = r;
	q->fn = fn;
	q->arg = arg;
	q->deadline_ms = deadline_ms;
	q->started = clock_mono();
	q->timer = timer_new(r->loop, timed_out, q);
	LIST_INSERT_HEAD(&r->queries, q, link);
	n = span_copy(span_of(host), q->host, sizeof(q->host));
	if (n > 0 && q->host[n - 1] == '.') {
		q->host[--n] = '\0';
		q->whole = true;
	}
	for (size_t i = 0; i < n; i++)
		q->host[i] = (char)tolower((unsigned char)q->host[i]);
	if (n == 0 || strlen(host) > NAME_MAX_BYTES) {
		q->err[V4] = q->err[V6] = DNS_ERR_FORMAT;
	} else if (find_without_asking(q)) {
		q->known = true;
	} else if (fault_hits(FAULT_RESOLVE_SILENT, span_of(q->host))) {
		q->err[V4] = q->err[V6] = DNS_ERR_TIMEOUT;
		arm(q);
		return q;
	} else {
		if (file_changed(r->conf_path, &r->conf_id)) {
			log_info("resolve: %s changed, reading it again", r->conf_path);
			dns_load(r);
		}
		ask(q, V4);
		ask(q, V6);
		if (q->part[V4] != NULL || q->part[V6] != NULL) {
			arm(q);
			return q;
		}
	}
	timer_arm_ms(q->timer, 0);	/* the answer is known; it is told in a later turn */
	return q;
}

void
resolve_cancel(struct resolve_query **qp)
{
	struct resolve_query	*q = *qp;

	if (q == NULL)
		return;
	*qp = NULL;
	if (q->told)
		return;		/* inside its own callback, which frees it */
	let_go(q);
	free(q);
}
