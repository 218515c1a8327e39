/*
 * growing - see growing.h.
 *
 * A stream is told of one thing at a time, and looked at afterwards: when it is over, or when this
 * worker lets go, it is dropped there and nowhere else.
 */
#include <sys/queue.h>

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/mem.h"
#include "common/tree.h"
#include "worker/rest/growing.h"
#include "worker/rest/nonce.h"
#include "worker/rest/stream.h"

#define EDIT_DEADLINE_MS	30000	/* another one follows */
#define LAST_DEADLINE_MS	120000
#define CREATE_DEADLINE_MS	55000	/* below STREAM_NONCE_MS: lost ones are repeated in time */
#define READ_DEADLINE_MS	30000
#define TYPING_DEADLINE_MS	5000
#define FORBIDDEN_N		32	/* channels; the oldest is forgotten */
#define CONTENT_BYTES		16384
#define PATH_BYTES		128

struct grow {
	struct stream	 stream;
	struct growing	*of;
	RB_ENTRY(grow)	 by_number, by_ordinal;
	uint64_t	 number, delivery, ordinal, channel;
	struct timer	*timer;
	uint64_t	 request, typing;	/* of rest; 0 none */
	enum stream_ask	 asked;
};

RB_HEAD(grow_numbers, grow);
RB_HEAD(grow_ordinals, grow);

struct growing {
	struct loop		*loop;
	struct rest		*rest;
	void			(*send)(void *, enum msg_type, const void *);
	void			*arg;
	struct grow_numbers	 numbers;
	struct grow_ordinals	 ordinals;
	uint64_t		 self;
	struct {
		uint64_t	 channel;
		struct mono	 until;
	} forbidden[FORBIDDEN_N];
	unsigned		 forbidden_at;
	bool			 draining, orphaned;
};

static int
number_cmp(struct grow *a, struct grow *b)
{
	return TREE_CMP(a->number, b->number);
}

static int
ordinal_cmp(struct grow *a, struct grow *b)
{
	if (a->delivery != b->delivery)
		return TREE_CMP(a->delivery, b->delivery);
	return TREE_CMP(a->ordinal, b->ordinal);
}

TREE_GENERATE(grow_numbers, grow, by_number, number_cmp)
TREE_GENERATE(grow_ordinals, grow, by_ordinal, ordinal_cmp)

static void
drop(struct grow *w)
{
	struct growing	*g = w->of;

	rest_forget(g->rest, w->request);
	rest_forget(g->rest, w->typing);
	RB_REMOVE(grow_numbers, &g->numbers, w);
	RB_REMOVE(grow_ordinals, &g->ordinals, w);
	timer_free(&w->timer);
	stream_fini(&w->stream);
	free(w);
}

static void
say(struct growing *g, uint64_t number, enum stream_word word, unsigned index, uint64_t message,
    uint64_t shown, enum error error, const char *why)
{
	struct msg_STREAM_STATE	 m = {
		.stream = number, .state = word, .index = index, .message = message, .shown = shown,
		.error = error, .why = span_of(why),
	};

	if (!g->orphaned)
		g->send(g->arg, MSG_STREAM_STATE, &m);
}

/* After each thing that a stream was told.  w may be gone afterwards. */
static void
look(struct grow *w)
{
	struct growing	*g = w->of;

	if (!stream_over(&w->stream) && g->draining && w->request == 0)
		say(g, w->number, WORD_FAILED, 0, 0, 0, ERR_ERETRY, error_text(ERR_ERETRY));
	else if (!stream_over(&w->stream))
		return;
	drop(w);
}

/* ---- what a stream asks of the world ---- */

/* What Discord says of a message. */
static void
read_message(struct span json, struct stream_answer *a, struct buf *text)
{
	enum json_token	 t;
	struct span	 v;

	if (json_member(json, "content", &t, &v) && t == JSON_TOK_STRING &&
	    json_unescape(v, text, CONTENT_BYTES)) {
		/* An empty text is said, too. */
		(void)buf_room(text, 1);
		a->content = buf_span(text);
	}
}

static bool
is_ours(const struct grow *w, json_t *m)
{
	const char	*nonce = NULL, *author = "", *to = "";
	char		 ours[NONCE_BYTES];

	(void)json_unpack(m, "{s?s, s?{s?s}, s?{s?s}}", "nonce", &nonce, "author", "id", &author,
	    "message_reference", "message_id", &to);
	nonce_of(w->delivery, w->ordinal + 64 * ((uint64_t)w->stream.index + 1), ours);
	if (nonce != NULL)
		return strcmp(nonce, ours) == 0;
	/* Lists need not say it: then the first one is known by what it answers. */
	return w->stream.index == 0 && w->stream.reply_to != 0 && w->of->self != 0 &&
	    strtoull(author, NULL, 10) == w->of->self &&
	    strtoull(to, NULL, 10) == w->stream.reply_to;
}

static void
find_message(const struct grow *w, struct span json, struct stream_answer *a, struct buf *text)
{
	json_t		*list = json_loadb(json.p, json.n, 0, NULL), *m;
	const char	*id, *content;
	size_t		 i;

	json_array_foreach(list, i, m) {
		if (!is_ours(w, m) ||
		    json_unpack(m, "{s:s, s:s}", "id", &id, "content", &content) == -1)
			continue;
		a->id = strtoull(id, NULL, 10);
		buf_add_span(text, span_of(content));
		(void)buf_room(text, 1);
		a->content = buf_span(text);
		break;
	}
	json_decref(list);
}

static void
forbid(struct growing *g, uint64_t channel)
{
	g->forbidden[g->forbidden_at].channel = channel;
	g->forbidden[g->forbidden_at].until = mono_add_ms(clock_mono(), GROWING_FORBIDDEN_MS);
	g->forbidden_at = (g->forbidden_at + 1) % FORBIDDEN_N;
}

static bool
is_forbidden(const struct growing *g, uint64_t channel)
{
	struct mono	 now = clock_mono();

	for (unsigned i = 0; i < FORBIDDEN_N; i++)
		if (g->forbidden[i].channel == channel && mono_before(now, g->forbidden[i].until))
			return true;
	return false;
}

static void
on_answer(void *arg, const struct rest_answer *ra)
{
	struct grow		*w = arg;
	struct buf		 text = { 0 };
	struct stream_answer	 a = {
		.error = ra->error, .status = ra->status, .id = ra->id,
		.remaining = ra->remaining, .reset_after_s = ra->reset_after_s,
	};

	w->request = 0;
	if (ra->error == ERR_EHTTP)
		(void)json_member_u64(ra->body, "code", &a.code);
	else if (ra->error == ERR_OK && w->asked == ASK_LOOK)
		find_message(w, ra->body, &a, &text);
	else if (ra->error == ERR_OK && (w->asked == ASK_CREATE || w->asked == ASK_GET))
		read_message(ra->body, &a, &text);
	if (ra->error == ERR_EHTTP && ra->status == 403)
		forbid(w->of, w->channel);
	stream_answer(&w->stream, clock_mono(), &a);
	buf_fini(&text);
	look(w);
}

static void
on_body(void *arg, struct buf *out)
{
	struct grow	*w = arg;

	stream_body(&w->stream, out);
}

static void
op_ask(void *arg, enum stream_ask ask, unsigned index, uint64_t message, uint64_t asked_ms)
{
	static const struct {
		const char	*method;
		enum lane	 lane;
		uint64_t	 deadline_ms;
		bool		 body;
	} kinds[] = {
		[ASK_CREATE] = { "POST", LANE_CREATE, CREATE_DEADLINE_MS, true },
		[ASK_EDIT] = { "PATCH", LANE_EDIT, EDIT_DEADLINE_MS, true },
		[ASK_CLOSE] = { "PATCH", LANE_CREATE, LAST_DEADLINE_MS, true },
		[ASK_GET] = { "GET", LANE_CREATE, READ_DEADLINE_MS, false },
		[ASK_LOOK] = { "GET", LANE_CREATE, READ_DEADLINE_MS, false },
		[ASK_REMOVE] = { "DELETE", LANE_CREATE, LAST_DEADLINE_MS, false },
	};
	struct grow	*w = arg;
	struct rest_own	 own = { kinds[ask].body ? on_body : NULL, on_answer, w };
	char		 path[PATH_BYTES];
	int		 n;
	struct msg_CALL	 m = {
		.lane = kinds[ask].lane, .deadline_ms = kinds[ask].deadline_ms,
		.verb = span_of(kinds[ask].method),
	};

	if (w->of->draining)
		return;			/* it is let go: look() */
	n = snprintf(path, sizeof(path), "/channels/%" PRIu64 "/messages", w->channel);
	if (message != 0)
		(void)snprintf(path + n, sizeof(path) - (size_t)n, "/%" PRIu64, message);
	else if (ask == ASK_LOOK && w->stream.reply_to != 0)
		(void)snprintf(path + n, sizeof(path) - (size_t)n, "?limit=50&after=%" PRIu64,
		    w->stream.reply_to);
	else if (ask == ASK_LOOK)
		(void)snprintf(path + n, sizeof(path) - (size_t)n, "?limit=50");
	if (ask == ASK_CREATE) {
		m.delivery = w->delivery;
		m.ordinal = w->ordinal + 64 * ((uint64_t)index + 1);
		m.asked_ms = asked_ms;
	}
	m.path = span_of(path);
	w->asked = ask;
	w->request = rest_ask(w->of->rest, &m, &own);
}

static void
on_typed(void *arg, const struct rest_answer *a)
{
	struct grow	*w = arg;

	w->typing = 0;
	if (a->error != ERR_OK)
		stream_no_typing(&w->stream);
}

static void
op_typing(void *arg, bool on)
{
	struct grow	*w = arg;
	struct rest_own	 own = { NULL, on_typed, w };
	char		 path[PATH_BYTES];
	struct msg_CALL	 m = {
		.lane = LANE_SOFT, .deadline_ms = TYPING_DEADLINE_MS, .verb = SPAN("POST")
	};

	if (!on) {
		rest_forget(w->of->rest, w->typing);
		w->typing = 0;
		return;
	}
	if (w->typing != 0 || w->of->draining)
		return;
	snprintf(path, sizeof(path), "/channels/%" PRIu64 "/typing", w->channel);
	m.path = span_of(path);
	w->typing = rest_ask(w->of->rest, &m, &own);
}

static void
op_tell(void *arg, enum stream_word word, unsigned index, uint64_t message, uint64_t shown,
    enum error error, const char *why)
{
	struct grow	*w = arg;

	log_trace("rest", "stream#%" PRIu64 " channel=%" PRIu64 " %s word=%d index=%u message=%"
	    PRIu64, w->number, w->channel, stream_state_name(w->stream.state), (int)word, index,
	    message);
	say(w->of, w->number, word, index, message, shown, error, why);
}

static void
op_wake_at(void *arg, struct mono at)
{
	struct grow	*w = arg;

	if (mono_is_never(at))
		timer_stop(w->timer);
	else
		timer_arm_at(w->timer, at);
}

static void
op_unexpected(void *arg, enum stream_event ev)
{
	struct grow	*w = arg;

	log_warnx("stream#%" PRIu64 " %s: %s is unexpected", w->number,
	    stream_state_name(w->stream.state), stream_event_name(ev));
}

static const struct stream_ops	 ops = { op_ask, op_typing, op_tell, op_wake_at, op_unexpected };

static void
on_time(void *arg)
{
	struct grow	*w = arg;

	stream_time(&w->stream, clock_mono());
	look(w);
}

/* ---- messages ---- */

static struct grow *
find(struct growing *g, uint64_t number)
{
	struct grow	 key = { .number = number };

	return RB_FIND(grow_numbers, &g->numbers, &key);
}

static unsigned
read_past(struct msg_list list, struct stream_past past[STREAM_MESSAGES_MAX])
{
	struct msg_list_iter	 it = { list.raw, 0 };
	unsigned		 n = 0;

	while (n < STREAM_MESSAGES_MAX && msg_list_more(&it) &&
	    msg_list_next_u64(&it, &past[n].id) && msg_list_next_u64(&it, &past[n].asked_ms))
		n++;
	return n;
}

static void
adopt(struct grow *w, uint64_t number)
{
	struct growing	*g = w->of;

	RB_REMOVE(grow_numbers, &g->numbers, w);
	w->number = number;
	RB_INSERT(grow_numbers, &g->numbers, w);
	stream_restart(&w->stream, clock_mono());
	look(w);
}

void
growing_open(struct growing *g, const struct msg_STREAM_OPEN *m)
{
	struct stream_past	 past[STREAM_MESSAGES_MAX];
	struct grow		 key = { .delivery = m->delivery, .ordinal = m->ordinal }, *w;

	if (find(g, m->stream) != NULL) {
		log_warnx("stream#%" PRIu64 " is open already: the second STREAM_OPEN is ignored",
		    m->stream);
		return;
	}
	if (g->draining) {
		say(g, m->stream, WORD_FAILED, 0, 0, 0, ERR_ERETRY, error_text(ERR_ERETRY));
		return;
	}
	if (is_forbidden(g, m->channel)) {
		say(g, m->stream, WORD_STOPPED, 0, 0, 0, ERR_EHTTP,
		    "Discord does not allow it in this channel");
		return;
	}
	if ((w = RB_FIND(grow_ordinals, &g->ordinals, &key)) != NULL) {
		adopt(w, m->stream);
		return;
	}
	w = mem_alloc(sizeof(*w));
	w->of = g;
	w->number = m->stream;
	w->delivery = m->delivery;
	w->ordinal = m->ordinal;
	w->channel = m->channel;
	w->timer = timer_new(g->loop, on_time, w);
	RB_INSERT(grow_numbers, &g->numbers, w);
	RB_INSERT(grow_ordinals, &g->ordinals, w);
	stream_init(&w->stream, m->reply_to, m->flags, &ops, w);
	stream_start(&w->stream, clock_mono(), past, read_past(m->messages, past));
	look(w);
}

void
growing_text(struct growing *g, const struct msg_STREAM_TEXT *m)
{
	struct grow	*w = find(g, m->stream);

	if (w == NULL)			/* it is over; this crossed the final state */
		return;
	stream_text(&w->stream, clock_mono(), m->offset, m->text);
	look(w);
}

void
growing_end(struct growing *g, const struct msg_STREAM_END *m)
{
	struct grow	*w = find(g, m->stream);

	if (w == NULL)
		return;
	stream_end(&w->stream, clock_mono(), (enum stream_kind)m->kind, m->note);
	look(w);
}

/* The journal's answer to WORD_ASKING. */
void
growing_state(struct growing *g, const struct msg_STREAM_STATE *m)
{
	struct grow	*w = find(g, m->stream);

	if (w == NULL)
		return;
	if (m->state == WORD_ASKING)
		stream_go(&w->stream, clock_mono());
	else
		stream_denied(&w->stream, clock_mono(), (enum error)m->error);
	look(w);
}

/* ---- beginning and end ---- */

void
growing_self(struct growing *g, uint64_t user)
{
	g->self = user;
}

void
growing_drain(struct growing *g)
{
	struct grow	*w, *next;

	g->draining = true;
	RB_FOREACH_SAFE(w, grow_numbers, &g->numbers, next)
		look(w);
}

void
growing_hand_over(struct growing *g)
{
	struct grow	*w, *next;

	RB_FOREACH_SAFE(w, grow_numbers, &g->numbers, next) {
		if (w->request != 0 && rest_take_back(g->rest, w->request))
			w->request = 0;
		look(w);
	}
}

void
growing_orphaned(struct growing *g)
{
	struct grow	*w;

	g->orphaned = g->draining = true;
	while ((w = RB_MIN(grow_numbers, &g->numbers)) != NULL)
		drop(w);
}

struct growing *
growing_new(struct loop *loop, struct rest *rest,
    void (*send)(void *arg, enum msg_type, const void *src), void *arg)
{
	struct growing	*g = mem_alloc(sizeof(*g));

	g->loop = loop;
	g->rest = rest;
	g->send = send;
	g->arg = arg;
	RB_INIT(&g->numbers);
	RB_INIT(&g->ordinals);
	return g;
}

void
growing_free(struct growing **gp)
{
	struct growing	*g = *gp;

	if (g == NULL)
		return;
	growing_orphaned(g);
	free(g);
	*gp = NULL;
}
