/*
 * flood - the other end of `make bench`: a gateway and a REST API that cost next to nothing.
 *
 * One thread, plain sockets on 127.0.0.1, one port for both protocols, no code of the product's.
 * Every event is encoded before the client starts: distinct MESSAGE_CREATE, as WebSocket frames,
 * plain, as zlib-stream and as zstd-stream, in one piece that send(2) takes from.  The compressed
 * pools are cut into runs; each begins with an empty window (zstd: is a frame), so that between two
 * runs anything may be said to the client and any run may follow another.
 *
 * Driven by lines on standard input, answers with one JSON object per line:
 *	flood WARM N PINGS BY SETTLE_MS PID...
 *		send WARM events, then N measured ones, each as fast as they are read
 *		BY	post: the end is the POST for a last "!ping"; beat: the answer to a last op 1
 *		PINGS	1: one event in a hundred is "!ping" and has to be answered before the end
 *	paced RATE SECONDS EVERY PID...
 *		events at a steady rate, every EVERYth of them "!ping"
 *	quit
 * On its own it says {"port":..} once and {"identify_ns":..} for each IDENTIFY (CLOCK_MONOTONIC).
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define POOL_EVENTS	98304u	/* above what the product remembers: none is a duplicate */
#define PING_EVENTS	32768u
#define RUN		256u	/* events with one compression window */
#define GUILDS		40u
#define CHANNELS	12u
#define PIDS_MAX	16
#define PACED_MAX	8192
#define BOT_ID		100000000000000001ull
#define ID_BASE		1200000000000000000ull
#define MARK_ID		1900000000000000000ull
#define PACED_ID	1800000000000000000ull
#define S_FLOOD		1000u	/* s of the first; they count in twos, marks stand between */
#define S_PACED		10000000u

struct bytes {
	char	*p;
	size_t	 n, cap;
};

/* Frames in one piece; at[i] is where event i begins, at[n] the end. */
struct pool {
	struct bytes	 b;
	size_t		 at[POOL_EVENTS + 1];
	unsigned	 n;
};

enum codec { PLAIN, ZLIB, ZSTD };

struct conn {
	int		 fd;
	bool		 ws, shut, wants_out;
	enum codec	 codec;
	struct bytes	 in, out;
	size_t		 out_off;
};

enum phase { IDLE, WARM, WARM_END, RUNNING, RUNNING_END, SETTLE, PACED, PACED_END };

static struct {
	int		 ep, port;
	struct conn	*gw;			/* the newest gateway connection that identified */
	z_stream	 z;			/* of what is encoded while it runs */
	struct pool	 plain, packed, zstd, pings;
	uint64_t	 rng;

	enum phase	 phase;
	const struct pool *pool;
	unsigned	 warm, n, next, stop;	/* events: next to send, end of this stretch */
	size_t		 off;			/* sent of the next one's stretch */
	bool		 by_beat, ack_due, with_pings;
	unsigned	 pings_due;
	uint64_t	 mark;			/* id whose POST, or s whose beat, ends it */
	pid_t		 pids[PIDS_MAX];
	unsigned	 pids_n;
	uint64_t	 cpu0[PIDS_MAX], cpu1[PIDS_MAX], self0, self1;
	uint64_t	 began_ns, ended_ns, settle_ns, settle_ms;

	uint64_t	 step_ns, due_ns;
	unsigned	 every, sent, count, answered;
	uint64_t	 at_ns[PACED_MAX], took_ns[PACED_MAX];
} g;

/* ---- small things ---- */

static uint64_t
now_ns(void)
{
	struct timespec	 ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t
cpu_ns(pid_t pid)
{
	struct timespec	 ts;
	clockid_t	 id;

	if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &ts) != 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static unsigned
draw(unsigned below)
{
	g.rng ^= g.rng << 13;
	g.rng ^= g.rng >> 7;
	g.rng ^= g.rng << 17;
	return (unsigned)(g.rng >> 33) % below;
}

static char *
room(struct bytes *b, size_t n)
{
	if (b->cap - b->n < n) {
		b->cap = (b->n + n) * 3 / 2 + 4096;
		if ((b->p = realloc(b->p, b->cap)) == NULL)
			err(1, "realloc");
	}
	return b->p + b->n;
}

static void
add(struct bytes *b, const void *p, size_t n)
{
	memcpy(room(b, n), p, n);
	b->n += n;
}

static void __attribute__((format(printf, 2, 3)))
addf(struct bytes *b, const char *fmt, ...)
{
	va_list	 ap;
	char	*p = room(b, 4096);
	int	 n;

	va_start(ap, fmt);
	n = vsnprintf(p, 4096, fmt, ap);
	va_end(ap);
	if (n < 0 || n >= 4096)
		errx(1, "a text above 4 KiB");
	b->n += (size_t)n;
}

static void
drop(struct bytes *b, size_t n)
{
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

/* ---- events ---- */

static void
add_words(struct bytes *b, unsigned bytes)
{
	static const char *const	 words[] = {
		"the", "guild", "was", "raided", "again", "last", "night", "so", "please", "read",
		"pinned", "message", "before", "asking", "\\\"why\\\"", "caf\xc3\xa9",
		"\xf0\x9f\x8e\x89", "build", "42", "patch", "https://example.com/a/b?c=d", "nobody",
		"expected", "that", "server", "to", "come", "back", "up", "today", "lol", "ok\\nthen",
	};
	size_t				 end = b->n + bytes;

	while (b->n < end)
		addf(b, "%s ", words[draw(sizeof(words) / sizeof(words[0]))]);
}

/* One MESSAGE_CREATE as Discord writes it; content NULL: some text. */
static void
add_message(struct bytes *b, uint64_t s, uint64_t id, unsigned where, const char *content)
{
	unsigned	 guild = where / CHANNELS % GUILDS, channel = where % CHANNELS, n;
	uint64_t	 author = 300000000000000000ull + draw(5000) * 1000003ull;

	addf(b,
	    "{\"t\":\"MESSAGE_CREATE\",\"s\":%" PRIu64
	    ",\"op\":0,\"d\":{\"type\":0,\"tts\":false,\"timestamp\":"
	    "\"2026-11-%02uT%02u:%02u:%02u.%03u000+00:00\",\"pinned\":false,\"nonce\":\"%u%09u\","
	    "\"mentions\":[",
	    s, 1 + draw(28), draw(24), draw(60), draw(60), draw(1000), 1 + draw(900000000),
	    draw(1000000000));
	if (draw(4) == 0)
		addf(b,
		    "{\"username\":\"user%u\",\"public_flags\":0,\"id\":\"%u%09u\",\"global_name\":"
		    "\"User %u\","
		    "\"discriminator\":\"0\",\"avatar\":\"%08x%08x%08x%08x\"}",
		    draw(9999), 1 + draw(900000000), draw(1000000000), draw(9999), draw(1u << 30),
		    draw(1u << 30), draw(1u << 30), draw(1u << 30));
	addf(b, "],\"mention_roles\":[],\"mention_everyone\":false,\"member\":{\"roles\":[");
	n = 3 + draw(5);
	for (unsigned i = 0; i < n; i++)
		addf(b, "%s\"%u%09u\"", i == 0 ? "" : ",", 700000000u + guild * 50 + i, 123456789u);
	addf(b,
	    "],\"premium_since\":null,\"pending\":false,\"nick\":null,\"mute\":false,\"joined_at\":"
	    "\"2023-%02u-%02uT10:11:12.131000+00:00\",\"flags\":0,\"deaf\":false,"
	    "\"communication_disabled_until\":null,\"banner\":null,\"avatar\":null},\"id\":\"%" PRIu64
	    "\",\"flags\":0,\"embeds\":[],\"edited_timestamp\":null,"
	    "\"content\":\"",
	    1 + draw(12), 1 + draw(28), id);
	if (content != NULL)
		addf(b, "%s", content);
	else
		add_words(b, 60 + draw(600));
	addf(b,
	    "\",\"components\":[],\"channel_type\":0,\"channel_id\":\"%u%09u\",\"author\":{"
	    "\"username\":\"user%u\","
	    "\"public_flags\":0,\"primary_guild\":null,\"id\":\"%" PRIu64
	    "\",\"global_name\":\"User %u\","
	    "\"discriminator\":\"0\",\"collectibles\":null,\"clan\":null,"
	    "\"avatar_decoration_data\":null,\"avatar\":\"%08x%08x%08x%08x\"},\"attachments\":[],"
	    "\"guild_id\":\"%u000000000\"}}",
	    500000000u + guild, channel, draw(9999), author, draw(9999), draw(1u << 30),
	    draw(1u << 30), draw(1u << 30), draw(1u << 30), 400000000u + guild);
}

/* ---- WebSocket frames ---- */

static void
add_head(struct bytes *b, unsigned op, size_t n)
{
	char	*p = room(b, 10);

	p[0] = (char)(0x80 | op);
	if (n < 126) {
		p[1] = (char)n;
		b->n += 2;
	} else if (n < 65536) {
		p[1] = 126;
		p[2] = (char)(n >> 8);
		p[3] = (char)n;
		b->n += 4;
	} else {
		p[1] = 127;
		for (int i = 0; i < 8; i++)
			p[2 + i] = (char)(n >> (56 - 8 * i));
		b->n += 10;
	}
}

/* text at the end of out, compressed as the stream z goes on. */
static void
deflate_to(z_stream *z, struct bytes *out, const char *p, size_t n)
{
	size_t	 most = deflateBound(z, n) + 16;

	z->next_in = (unsigned char *)(uintptr_t)p;
	z->avail_in = (unsigned)n;
	z->next_out = (unsigned char *)room(out, most);
	z->avail_out = (unsigned)most;
	if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in != 0 || z->avail_out == 0)
		errx(1, "deflate");
	out->n += most - z->avail_out;
}

/* The same as zstd does it; how: flush, or the end of its frame. */
static void
zstd_to(ZSTD_CCtx *z, ZSTD_EndDirective how, struct bytes *out, const char *p, size_t n)
{
	size_t		 most = ZSTD_compressBound(n) + 64;
	ZSTD_inBuffer	 from = { p, n, 0 };
	ZSTD_outBuffer	 to = { room(out, most), most, 0 };

	if (ZSTD_compressStream2(z, &to, &from, how) != 0)
		errx(1, "zstd");
	out->n += to.pos;
}

static void
add_packed(struct bytes *out, const struct bytes *packed)
{
	add_head(out, 2, packed->n);
	add(out, packed->p, packed->n);
}

static void
add_frame(struct bytes *out, z_stream *z, const char *p, size_t n)
{
	static struct bytes	 packed;

	if (z == NULL) {
		add_head(out, 1, n);
		add(out, p, n);
		return;
	}
	packed.n = 0;
	deflate_to(z, &packed, p, n);
	add_packed(out, &packed);
}

static void
add_zstd_frame(struct bytes *out, ZSTD_CCtx *z, ZSTD_EndDirective how, const char *p, size_t n)
{
	static struct bytes	 packed;

	packed.n = 0;
	zstd_to(z, how, &packed, p, n);
	add_packed(out, &packed);
}

static uint64_t
pool_s(unsigned i)
{
	return S_FLOOD + 2 * (uint64_t)i;
}

/* plain and zstd may be NULL. */
static void
encode(struct pool *plain, struct pool *packed, struct pool *zstd, unsigned n, uint64_t id,
    bool pings, size_t *mean_r)
{
	ZSTD_CCtx		*zs = ZSTD_createCCtx();	/* level 3 */
	static struct bytes	 text;
	z_stream		 z = { 0 };
	size_t			 sum = 0;
	bool			 ping;

	if (deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		errx(1, "deflateInit2");
	for (unsigned i = 0; i < n; i++) {
		text.n = 0;
		ping = pings && i % 100 == 50;
		add_message(&text, pool_s(i), id + i * 4096ull, ping ? i : draw(GUILDS * CHANNELS),
		    ping ? "!ping" : NULL);
		sum += text.n;
		if (plain != NULL) {
			plain->at[i] = plain->b.n;
			add_frame(&plain->b, NULL, text.p, text.n);
		}
		if (zstd != NULL) {
			zstd->at[i] = zstd->b.n;
			add_zstd_frame(&zstd->b, zs, i % RUN == RUN - 1 ? ZSTD_e_end : ZSTD_e_flush,
			    text.p, text.n);
		}
		if (i % RUN == 0)
			deflateReset(&z);
		packed->at[i] = packed->b.n;
		add_frame(&packed->b, &z, text.p, text.n);
	}
	deflateEnd(&z);
	ZSTD_freeCCtx(zs);
	if (zstd != NULL)
		zstd->at[zstd->n = n] = zstd->b.n;
	if (plain != NULL)
		plain->at[plain->n = n] = plain->b.n;
	packed->at[packed->n = n] = packed->b.n;
	*mean_r = sum / n;
}

/* ---- the client ---- */

static void
interest(struct conn *c, bool out)
{
	struct epoll_event	 ev = { .events = EPOLLIN | (out ? EPOLLOUT : 0u), .data.ptr = c };

	if (c->wants_out != out)
		epoll_ctl(g.ep, EPOLL_CTL_MOD, c->fd, &ev);
	c->wants_out = out;
}

/* Said while it runs: a window of its own. */
static void
say(struct conn *c, const char *p, size_t n)
{
	if (c->codec == ZSTD) {
		ZSTD_CCtx	*zs = ZSTD_createCCtx();

		add_zstd_frame(&c->out, zs, ZSTD_e_end, p, n);
		ZSTD_freeCCtx(zs);
		return;
	}
	if (c->codec == ZLIB)
		deflateReset(&g.z);
	add_frame(&c->out, c->codec == ZLIB ? &g.z : NULL, p, n);
}

static void __attribute__((format(printf, 2, 3)))
sayf(struct conn *c, const char *fmt, ...)
{
	char	 text[2048];
	va_list	 ap;
	int	 n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say(c, text, (size_t)n);
}

static void
say_message(struct conn *c, uint64_t s, uint64_t id, unsigned where, const char *content)
{
	static struct bytes	 text;

	text.n = 0;
	add_message(&text, s, id, where, content);
	say(c, text.p, text.n);
}

/* True: everything queued is out. */
static bool
flush(struct conn *c)
{
	ssize_t	 n;

	while (c->out_off < c->out.n) {
		n = send(c->fd, c->out.p + c->out_off, c->out.n - c->out_off,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n <= 0) {
			interest(c, true);
			return false;
		}
		c->out_off += (size_t)n;
	}
	c->out.n = c->out_off = 0;
	return true;
}

static void
answer(struct conn *c, const char *status, const char *body)
{
	addf(&c->out,
	    "HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
	    "Content-Length: %zu\r\nx-ratelimit-limit: 100000\r\n"
	    "x-ratelimit-remaining: 99999\r\nx-ratelimit-reset-after: 1.0\r\n"
	    "x-ratelimit-bucket: bench\r\n\r\n",
	    status, strlen(body));
	add(&c->out, body, strlen(body));
}

/* ---- the measurement ---- */

static void
clocks(uint64_t *v)
{
	for (unsigned i = 0; i < g.pids_n; i++)
		v[i] = cpu_ns(g.pids[i]);
}

static void
stretch(enum phase phase, unsigned from, unsigned to)
{
	g.phase = phase;
	g.next = from;
	g.stop = to;
	g.off = g.pool->at[from];
	g.mark = 0;
}

static void
send_mark(struct conn *c)
{
	uint64_t	 s = pool_s(g.stop) - 1;

	g.mark = g.by_beat ? s : MARK_ID + g.stop;
	if (g.by_beat)
		sayf(c, "{\"t\":null,\"s\":null,\"op\":1,\"d\":null}");
	else
		say_message(c, s, g.mark, g.stop, "!ping");
	g.phase++;
}

/* Send on until the socket is full or the stretch has ended. */
static void
pump(struct conn *c)
{
	unsigned	 last;
	ssize_t		 n;

	if (!flush(c))
		return;
	while (g.next < g.stop) {
		/* To the end of this run: only there may something else be said. */
		last = (g.next / RUN + 1) * RUN;
		if (last > g.stop)
			last = g.stop;
		n = send(c->fd, g.pool->b.p + g.off, g.pool->at[last] - g.off,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n <= 0) {
			interest(c, true);
			return;
		}
		g.off += (size_t)n;
		if (g.off < g.pool->at[last])
			continue;
		g.next = last;
		if (g.ack_due) {
			g.ack_due = false;
			sayf(c, "{\"t\":null,\"s\":null,\"op\":11,\"d\":null}");
			if (!flush(c))
				return;
		}
	}
	send_mark(c);
	if (flush(c))
		interest(c, false);
}

static void
report_flood(void)
{
	uint64_t	 ns;

	printf("{\"events\":%u,\"wall_ns\":%" PRIu64 ",\"server_ns\":%" PRIu64 ",\"cpu_ns\":[", g.n,
	    g.ended_ns - g.began_ns, g.self1 - g.self0);
	clocks(g.cpu1);
	for (unsigned i = 0; i < g.pids_n; i++) {
		ns = g.cpu1[i] - g.cpu0[i];
		printf("%s%" PRIu64, i == 0 ? "" : ",", ns);
	}
	printf("]}\n");
	g.phase = IDLE;
}

static void
stretch_ended(void)
{
	if (g.pings_due > 0 || g.mark != 0)
		return;
	if (g.phase == WARM_END) {
		clocks(g.cpu0);
		g.self0 = cpu_ns(getpid());
		g.began_ns = now_ns();
		for (unsigned i = g.warm; g.with_pings && i < g.warm + g.n; i++)
			g.pings_due += i % 100 == 50;
		stretch(RUNNING, g.warm, g.warm + g.n);
		pump(g.gw);
	} else if (g.phase == RUNNING_END) {
		g.ended_ns = now_ns();
		g.self1 = cpu_ns(getpid());
		g.settle_ns = g.ended_ns + g.settle_ms * 1000000u;
		g.phase = SETTLE;
	}
}

static int
by_value(const void *va, const void *vb)
{
	const uint64_t	*a = va, *b = vb;

	return *a < *b ? -1 : *a > *b;
}

static void
report_paced(void)
{
	uint64_t	 ns = 0;

	qsort(g.took_ns, g.answered, sizeof(g.took_ns[0]), by_value);
	clocks(g.cpu1);
	for (unsigned i = 0; i < g.pids_n; i++)
		ns += g.cpu1[i] - g.cpu0[i];
	printf("{\"pings\":%u,\"answered\":%u,\"p50_ns\":%" PRIu64 ",\"p99_ns\":%" PRIu64
	       ",\"max_ns\":%" PRIu64 ",\"cpu_ns\":%" PRIu64 ",\"events\":%u}\n",
	    g.sent / g.every, g.answered, g.took_ns[g.answered / 2],
	    g.took_ns[g.answered * 99 / 100], g.took_ns[g.answered == 0 ? 0 : g.answered - 1], ns,
	    g.sent);
	g.phase = IDLE;
}

static void
paced_due(uint64_t now)
{
	bool	 ping;

	if (g.phase != PACED || now < g.due_ns || g.gw == NULL)
		return;
	if (g.sent == g.count) {
		g.phase = PACED_END;
		g.settle_ns = now + 500000000u;
		return;
	}
	ping = g.sent % g.every == g.every - 1;
	say_message(g.gw, S_PACED + g.sent, PACED_ID + g.sent, g.sent, ping ? "!ping" : NULL);
	g.at_ns[g.sent] = now_ns();
	(void)flush(g.gw);
	g.sent++;
	g.due_ns += g.step_ns;
}

static void
posted(uint64_t message)
{
	if (message >= MARK_ID) {
		if (message == g.mark)
			g.mark = 0;
	} else if (message >= PACED_ID) {
		if (message - PACED_ID < g.sent && g.answered < PACED_MAX)
			g.took_ns[g.answered++] = now_ns() - g.at_ns[message - PACED_ID];
	} else if (g.pings_due > 0 && (g.phase == RUNNING || g.phase == RUNNING_END)) {
		g.pings_due--;
	}
	if (g.phase == WARM_END || g.phase == RUNNING_END)
		stretch_ended();
}

static void
beaten(void)
{
	if (g.by_beat && g.mark != 0 && (g.phase == WARM_END || g.phase == RUNNING_END)) {
		g.mark = 0;
		stretch_ended();
	}
	g.ack_due = true;
}

/* ---- HTTP ---- */

static void
upgrade(struct conn *c, const char *head)
{
	static const char	 guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	const char		*key = strcasestr(head, "sec-websocket-key:");
	unsigned char		 digest[SHA_DIGEST_LENGTH], text[64];
	char			 joined[128];
	size_t			 n;

	if (key == NULL)
		return;
	key += 18;
	key += strspn(key, " ");
	n = strcspn(key, " \r\n");
	snprintf(joined, sizeof(joined), "%.*s%s", (int)(n > 64 ? 64 : n), key, guid);
	SHA1((unsigned char *)joined, strlen(joined), digest);
	EVP_EncodeBlock(text, digest, sizeof(digest));
	c->ws = true;
	c->codec = strstr(head, "compress=zlib-stream") != NULL ? ZLIB :
	    strstr(head, "compress=zstd-stream") != NULL ? ZSTD : PLAIN;
	addf(&c->out,
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: %s\r\n\r\n",
	    text);
	(void)flush(c);
	if (c->codec == ZLIB) {
		/* The header rides in front of the first message; g.z and the pools are raw. */
		static struct bytes	 first;
		static const char	 hello[] =
		    "{\"t\":null,\"s\":null,\"op\":10,\"d\":{\"heartbeat_interval\":41250}}";

		first.n = 0;
		add(&first, "\x78\x9c", 2);
		deflateReset(&g.z);
		deflate_to(&g.z, &first, hello, sizeof(hello) - 1);
		add_head(&c->out, 2, first.n);
		add(&c->out, first.p, first.n);
	} else
		sayf(c, "{\"t\":null,\"s\":null,\"op\":10,\"d\":{\"heartbeat_interval\":41250}}");
}

/* One whole request at the front of c->in; false: not yet. */
static bool
request(struct conn *c)
{
	char		*end, *body, *length;
	size_t		 n = 0;
	char		 text[512];
	const char	*id;
	static uint64_t	 reply = 1700000000000000000ull;

	*room(&c->in, 1) = '\0';
	if ((end = strstr(c->in.p, "\r\n\r\n")) == NULL)
		return false;
	body = end + 4;
	*end = '\0';
	if ((length = strcasestr(c->in.p, "content-length:")) != NULL)
		n = strtoul(length + 15, NULL, 10);
	if ((size_t)(c->in.p + c->in.n - body) < n) {
		*end = '\r';
		return false;
	}
	if (strcasestr(c->in.p, "upgrade: websocket") != NULL) {
		upgrade(c, c->in.p);
	} else if (strncmp(c->in.p, "POST ", 5) == 0 && strstr(c->in.p, "/messages") != NULL) {
		snprintf(text, sizeof(text),
		    "{\"id\":\"%" PRIu64 "\",\"type\":0,\"content\":\"pong\",\"channel_id\":\"1\","
		    "\"author\":{\"id\":\"%llu\",\"username\":\"bench\",\"bot\":true},"
		    "\"timestamp\":"
		    "\"2026-11-20T00:00:00.000000+00:00\"}",
		    reply++, BOT_ID);
		answer(c, "200 OK", text);
		id = memmem(body, n, "\"message_id\":\"", 14);
		posted(id == NULL ? 0 : strtoull(id + 14, NULL, 10));
	} else if (strstr(c->in.p, "/gateway/bot ") != NULL ||
	    strstr(c->in.p, "/gateway ") != NULL) {
		snprintf(text, sizeof(text),
		    "{\"url\":\"ws://127.0.0.1:%d\",\"shards\":1,\"session_start_limit\":{\"total\":1000,"
		    "\"remaining\":1000,\"reset_after\":0,\"max_concurrency\":1}}",
		    g.port);
		answer(c, "200 OK", text);
	} else if (strstr(c->in.p, "/users/@me ") != NULL) {
		snprintf(text, sizeof(text),
		    "{\"id\":\"%llu\",\"username\":\"bench\",\"bot\":true}", BOT_ID);
		answer(c, "200 OK", text);
	} else
		answer(c, "404 Not Found", "{\"message\":\"404: Not Found\",\"code\":0}");
	drop(&c->in, (size_t)(body - c->in.p) + n);
	return true;
}

static void
identified(struct conn *c)
{
	printf("{\"identify_ns\":%" PRIu64 "}\n", now_ns());
	g.gw = c;
	g.phase = IDLE;
	sayf(c,
	    "{\"t\":\"READY\",\"s\":1,\"op\":0,\"d\":{\"v\":10,\"user\":{\"id\":\"%llu\","
	    "\"username\":\"bench\",\"bot\":true},"
	    "\"session_id\":\"%016" PRIx64
	    "\",\"resume_gateway_url\":\"ws://127.0.0.1:%d\",\"guilds\":[],"
	    "\"application\":{\"id\":\"%llu\",\"flags\":0}}}",
	    BOT_ID, now_ns(), g.port, BOT_ID);
	for (unsigned i = 0; i < GUILDS; i++)
		sayf(c,
		    "{\"t\":\"GUILD_CREATE\",\"s\":%u,\"op\":0,\"d\":{\"id\":\"%u000000000\","
		    "\"name\":\"guild %u\","
		    "\"channels\":[],\"members\":[],\"roles\":[]}}",
		    2 + i, 400000000u + i, i);
}

/* One whole frame of the client, which masks; false: not yet. */
static bool
frame(struct conn *c)
{
	unsigned char	*p = (unsigned char *)c->in.p, *mask;
	size_t		 n, head = 2;
	char		*op;

	if (c->in.n < 6)
		return false;
	n = p[1] & 0x7f;
	if (n == 126) {
		n = (size_t)p[2] << 8 | p[3];
		head = 4;
	}
	mask = p + head;
	if (c->in.n < head + 4 + n)
		return false;
	for (size_t i = 0; i < n; i++)
		mask[4 + i] ^= mask[i & 3];
	if ((p[0] & 0x0f) == 8) {
		add_head(&c->out, 8, 2);
		add(&c->out, "\x03\xe8", 2);
		c->shut = true;
	} else if ((op = memmem(mask + 4, n, "\"op\":", 5)) != NULL) {
		if (op[5] == '2')
			identified(c);
		else if (op[5] == '1')
			beaten();
	}
	drop(&c->in, head + 4 + n);
	return true;
}

static void
conn_gone(struct conn *c)
{
	close(c->fd);
	if (g.gw == c) {
		g.gw = NULL;
		if (g.phase != IDLE)
			printf("{\"error\":\"the client hung up in phase %d\"}\n", (int)g.phase);
		g.phase = IDLE;
	}
	free(c->in.p);
	free(c->out.p);
	free(c);
}

static void
conn_event(struct conn *c, unsigned what)
{
	ssize_t	 n;

	if ((what & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
		n = recv(c->fd, room(&c->in, 65536), 65536, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			conn_gone(c);
			return;
		}
		if (n > 0)
			c->in.n += (size_t)n;
		while (c->in.n > 0 && (c->ws ? frame(c) : request(c)))
			;
	}
	if (c == g.gw && (g.phase == WARM || g.phase == RUNNING)) {
		pump(c);
		return;
	}
	if (c == g.gw && g.ack_due && g.phase != WARM_END && g.phase != RUNNING_END) {
		g.ack_due = false;
		sayf(c, "{\"t\":null,\"s\":null,\"op\":11,\"d\":null}");
	}
	if (flush(c)) {
		interest(c, false);
		if (c->shut)
			conn_gone(c);
	}
}

static void
accept_one(int fd)
{
	struct conn		*c = calloc(1, sizeof(*c));
	struct epoll_event	 ev = { .events = EPOLLIN, .data.ptr = c };
	int			 one = 1;

	if (c == NULL || (c->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) == -1) {
		free(c);
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	epoll_ctl(g.ep, EPOLL_CTL_ADD, c->fd, &ev);
}

/* ---- commands ---- */

static void
take_pids(char **rest)
{
	char	*word;

	g.pids_n = 0;
	while ((word = strsep(rest, " \n")) != NULL)
		if (*word != '\0' && g.pids_n < PIDS_MAX)
			g.pids[g.pids_n++] = (pid_t)atoi(word);
}

static unsigned
number(char **rest)
{
	char	*word = strsep(rest, " \n");

	return word == NULL ? 0 : (unsigned)strtoul(word, NULL, 10);
}

static void
command(char *line)
{
	char		*word = strsep(&line, " \n"), *by;
	unsigned	 rate, seconds;

	if (strcmp(word, "quit") == 0)
		exit(0);
	if (g.gw == NULL || g.phase != IDLE) {
		printf("{\"error\":\"no client\"}\n");
	} else if (strcmp(word, "flood") == 0) {
		g.warm = number(&line);
		g.n = number(&line);
		g.with_pings = number(&line) == 1;
		by = strsep(&line, " \n");
		g.by_beat = by != NULL && strcmp(by, "beat") == 0;
		g.settle_ms = number(&line);
		take_pids(&line);
		g.pool = g.with_pings ? &g.pings : g.gw->codec == ZLIB ? &g.packed :
		    g.gw->codec == ZSTD ? &g.zstd : &g.plain;
		if ((g.with_pings && g.gw->codec != ZLIB) || g.warm % RUN != 0 || g.n % RUN != 0 ||
		    g.warm + g.n > g.pool->n) {
			printf("{\"error\":\"no such flood\"}\n");
			return;
		}
		g.pings_due = 0;
		stretch(WARM, 0, g.warm);
		pump(g.gw);
	} else if (strcmp(word, "paced") == 0) {
		rate = number(&line);
		seconds = number(&line);
		g.every = number(&line);
		take_pids(&line);
		if (rate == 0 || g.every == 0 || rate * seconds > PACED_MAX) {
			printf("{\"error\":\"no such pace\"}\n");
			return;
		}
		g.count = rate * seconds;
		g.sent = g.answered = 0;
		g.step_ns = 1000000000u / rate;
		g.due_ns = now_ns();
		clocks(g.cpu0);
		g.phase = PACED;
	}
}

static void
on_time(void)
{
	uint64_t	 now = now_ns();

	paced_due(now);
	if (g.phase == SETTLE && now >= g.settle_ns)
		report_flood();
	if (g.phase == PACED_END && now >= g.settle_ns)
		report_paced();
}

/* Milliseconds until on_time has something to do. */
static int
patience(void)
{
	uint64_t	 now = now_ns(), at;

	if (g.phase == PACED)
		at = g.due_ns;
	else if (g.phase == SETTLE || g.phase == PACED_END)
		at = g.settle_ns;
	else
		return -1;
	return at <= now ? 0 : (int)((at - now + 999999) / 1000000);
}

int
main(void)
{
	struct sockaddr_in	 sin = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t		 sin_n = sizeof(sin);
	struct epoll_event	 evs[16], ev = { .events = EPOLLIN };
	int			 listener, n, marks[2];
	size_t			 mean, mean_pings;
	char			 line[512];

	setvbuf(stdout, NULL, _IOLBF, 0);
	g.rng = 0x9e3779b97f4a7c15ull;
	if (deflateInit2(&g.z, 1, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		errx(1, "deflateInit2");
	encode(&g.plain, &g.packed, &g.zstd, POOL_EVENTS, ID_BASE, false, &mean);
	encode(NULL, &g.pings, NULL, PING_EVENTS, ID_BASE + (1ull << 50), true, &mean_pings);

	g.ep = epoll_create1(EPOLL_CLOEXEC);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(listener, 16) == -1 ||
	    getsockname(listener, (struct sockaddr *)&sin, &sin_n) == -1)
		err(1, "listen");
	g.port = ntohs(sin.sin_port);
	ev.data.ptr = &marks[0];
	epoll_ctl(g.ep, EPOLL_CTL_ADD, listener, &ev);
	ev.data.ptr = &marks[1];
	epoll_ctl(g.ep, EPOLL_CTL_ADD, STDIN_FILENO, &ev);
	printf("{\"port\":%d,\"mean_bytes\":%zu,\"mean_packed_bytes\":%zu,\"mean_zstd_bytes\":%zu}\n",
	    g.port, mean, g.packed.b.n / POOL_EVENTS, g.zstd.b.n / POOL_EVENTS);

	for (;;) {
		n = epoll_wait(g.ep, evs, 16, patience());
		for (int i = 0; i < n; i++) {
			if (evs[i].data.ptr == &marks[0])
				accept_one(listener);
			else if (evs[i].data.ptr == &marks[1]) {
				ssize_t	 got = read(STDIN_FILENO, line, sizeof(line) - 1);

				if (got <= 0)
					exit(0);
				line[got] = '\0';
				command(line);
			} else
				conn_event(evs[i].data.ptr, evs[i].events);
		}
		on_time();
	}
}
