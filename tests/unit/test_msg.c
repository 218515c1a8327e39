/*
 * msg: every message of messages.def goes out and comes back; every bound of every field
 * holds on both sides; nothing but a flat array of scalars reaches msgpack.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/msg.h"

static msgpack_zone	 zone;
static char		*filler;	/* as many bytes as the longest field, and one */
static size_t		 filler_bytes;
static struct buf	 list_of[16];	/* one per field: a msg_list borrows */

/* Large enough for the struct of any message, which all begin at offset 0 of msg_in. */
union any {
	struct msg_in	 in;
	char		 bytes[sizeof(struct msg_in)];
	max_align_t	 align;
};

/* What a field is set to. */
enum edge { AT_MIN, AT_MAX, BELOW, ABOVE, SMALL };

static int
setup(void **state)
{
	const struct msg_def	*d;
	size_t			 n, i, j;

	(void)state;
	d = msg_defs(&n);
	for (i = 0; i < n; i++)
		for (j = 0; j < d[i].fields_n; j++)
			if ((d[i].fields[j].kind == MSG_KIND_STR ||
			    d[i].fields[j].kind == MSG_KIND_BIN) &&
			    d[i].fields[j].max + 1 > filler_bytes)
				filler_bytes = (size_t)d[i].fields[j].max + 1;
	filler = mem_alloc(filler_bytes);
	memset(filler, 'x', filler_bytes);
	return msgpack_zone_init(&zone, 8192) ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	msgpack_zone_destroy(&zone);
	free(filler);
	for (size_t i = 0; i < sizeof(list_of) / sizeof(list_of[0]); i++)
		buf_fini(&list_of[i]);
	return 0;
}

static void *
at(void *src, const struct msg_field *f)
{
	return (char *)src + f->offset;
}

/* False when there is no such value, e.g. nothing is below 0. */
static bool
put(void *src, const struct msg_field *f, enum edge e, struct buf *list)
{
	uint64_t	 n = 0, i;

	if (f->kind == MSG_KIND_LIST) {
		switch (e) {
		case AT_MIN:	n = 0; break;
		case SMALL:	n = f->min * 2; break;
		case AT_MAX:	n = f->min * f->max; break;
		case ABOVE:	n = f->min * (f->max + 1); break;
		case BELOW:	/* a list has no lower bound; half a row takes its place */
			if (f->min == 1)
				return false;
			n = f->min + 1;
			break;
		}
		buf_reset(list);
		for (i = 0; i < n; i++)
			if (i % 2 == 0)
				msg_list_str(list, SPAN("MESSAGE_CREATE"));
			else
				msg_list_u64(list, i);
		((struct msg_list *)at(src, f))->raw = buf_span(list);
		return true;
	}
	switch (e) {
	case AT_MIN:
		n = f->min;
		break;
	case AT_MAX:
		n = f->max;
		break;
	case BELOW:
		if (f->min == 0)
			return false;
		n = f->min - 1;
		break;
	case ABOVE:
		if (f->max == UINT64_MAX)
			return false;
		n = f->max + 1;
		break;
	case SMALL:
		n = f->max < f->min + 3 ? f->max : f->min + 3;
		break;
	}
	if (f->kind == MSG_KIND_U64)
		*(uint64_t *)at(src, f) = n;
	else
		*(struct span *)at(src, f) = span_make(filler, (size_t)n);
	return true;
}

static void
fill(union any *m, const struct msg_def *d, enum edge e)
{
	size_t	 j;

	memset(m, 0, sizeof(*m));
	for (j = 0; j < d->fields_n; j++)
		assert_true(put(m, &d->fields[j], e, &list_of[j]));
}

static int
to_buf(void *arg, const char *p, size_t n)
{
	buf_add(arg, p, n);
	return 0;
}

static void
raw_field(msgpack_packer *pk, const struct msg_field *f, void *src)
{
	struct span	*s = at(src, f);

	if (f->kind == MSG_KIND_U64)
		msgpack_pack_uint64(pk, *(uint64_t *)at(src, f));
	else if (f->kind == MSG_KIND_STR) {
		msgpack_pack_str(pk, s->n);
		msgpack_pack_str_body(pk, s->p, s->n);
	} else {
		msgpack_pack_bin(pk, s->n);
		msgpack_pack_bin_body(pk, s->p, s->n);
	}
}

/* As msg_pack, without its checks: what a hostile peer would send. */
static void
raw_pack(struct buf *out, const struct msg_def *d, void *src)
{
	msgpack_packer	 pk;
	size_t		 j;

	buf_reset(out);
	msgpack_packer_init(&pk, out, to_buf);
	msgpack_pack_array(&pk, d->fields_n + 1);
	msgpack_pack_uint64(&pk, d->type);
	for (j = 0; j < d->fields_n; j++)
		raw_field(&pk, &d->fields[j], src);
}

static int
unpack(struct span frame, struct msg_in *in_r)
{
	struct span	 copy;
	char		*p;
	int		 rv;

	/* A copy of its exact size, so that a read behind the end is seen by ASan. */
	p = malloc(frame.n == 0 ? 1 : frame.n);
	assert_non_null(p);
	if (frame.n > 0)
		memcpy(p, frame.p, frame.n);
	copy = span_make(p, frame.n);
	rv = msg_unpack(copy, &zone, in_r);
	free(p);
	return rv;
}

static void
numbers_and_names_are_unique(void **state)
{
	const struct msg_def	*d;
	size_t			 n, i, j;

	(void)state;
	d = msg_defs(&n);
	assert_true(n > 20);
	for (i = 0; i < n; i++) {
		assert_ptr_equal(msg_def(d[i].type)->fields, d[i].fields);
		assert_string_equal(msg_name(d[i].type), d[i].name);
		for (j = 0; j < i; j++) {
			assert_int_not_equal(d[i].type, d[j].type);
			assert_string_not_equal(d[i].name, d[j].name);
		}
		if (d[i].fields == NULL)
			continue;
		assert_true(d[i].fields_n > 0 && d[i].fields_n <= 15);
		for (j = 0; j < d[i].fields_n; j++)
			assert_true(d[i].fields[j].min <= d[i].fields[j].max);
	}
	assert_null(msg_def(0));
	assert_null(msg_def(0xff));
	assert_string_equal(msg_name(0xff), "?");
}

static void
every_message_round_trips(void **state)
{
	const enum edge		 edges[] = { AT_MIN, SMALL, AT_MAX };
	const struct msg_def	*d;
	const struct msg_field	*f;
	struct buf		 out = { 0 };
	union any		 m;
	struct msg_in		 in;
	const char		*why = NULL;
	size_t			 n, i, j, k;

	(void)state;
	d = msg_defs(&n);
	for (i = 0; i < n; i++) {
		if (d[i].fields == NULL)
			continue;
		for (k = 0; k < 3; k++) {
			fill(&m, &d[i], edges[k]);
			buf_reset(&out);
			assert_int_equal(msg_pack(&out, d[i].type, &m, &why), 0);
			assert_int_equal(msg_unpack(buf_span(&out), &zone, &in), 0);
			assert_int_equal(in.type, d[i].type);
			assert_null(in.why);
			for (j = 0; j < d[i].fields_n; j++) {
				f = &d[i].fields[j];
				if (f->kind == MSG_KIND_U64) {
					assert_true(*(uint64_t *)at(&m, f) ==
					    *(uint64_t *)at(&in.HELLO, f));
					continue;
				}
				struct span	 a = *(struct span *)at(&m, f);
				struct span	 b = *(struct span *)at(&in.HELLO, f);
				assert_true(span_eq(a, b));
				if (b.n == 0)
					continue;
				/* Not copied: inside the frame. */
				assert_true(b.p >= out.p + out.off);
				assert_true(b.p + b.n <= out.p + out.off + out.n);
			}
		}
	}
	buf_fini(&out);
}

static void
every_bound_of_every_field_holds(void **state)
{
	const struct msg_def	*d;
	const struct msg_field	*f;
	struct buf		 out = { 0 }, list = { 0 };
	union any		 m;
	struct msg_in		 in;
	const char		*why;
	char			 want[128];
	size_t			 n, i, j, e, tried = 0;

	(void)state;
	d = msg_defs(&n);
	for (i = 0; i < n; i++)
		for (j = 0; j < d[i].fields_n; j++)
			for (e = AT_MIN; e <= ABOVE; e++) {
				f = &d[i].fields[j];
				fill(&m, &d[i], SMALL);
				if (!put(&m, f, (enum edge)e, &list))
					continue;
				tried++;
				raw_pack(&out, &d[i], &m);
				if (e == AT_MIN || e == AT_MAX) {
					assert_int_equal(msg_unpack(buf_span(&out), &zone, &in), 0);
					continue;
				}
				(void)snprintf(want, sizeof(want), "%s.%s: ", d[i].name, f->name);
				assert_int_equal(msg_unpack(buf_span(&out), &zone, &in), -1);
				assert_memory_equal(in.why, want, strlen(want));
				buf_reset(&out);
				buf_add(&out, "kept", 4);
				why = NULL;
				assert_int_equal(msg_pack(&out, d[i].type, &m, &why), -1);
				assert_memory_equal(why, want, strlen(want));
				assert_true(span_is(buf_span(&out), "kept"));
				assert_int_equal(msg_pack(&out, d[i].type, &m, NULL), -1);
			}
	assert_true(tried > 150);
	buf_fini(&out);
	buf_fini(&list);
}

static void
refusals_read_well(void **state)
{
	struct msg_LOG	 log = { .level = 9, .line = SPAN("x") };
	struct msg_EVENT ev = { .delivery = 1, .attempt = 1, .body = SPAN("{}") };
	struct buf	 out = { 0 };
	const char	*why;

	(void)state;
	assert_int_equal(msg_pack(&out, MSG_LOG, &log, &why), -1);
	assert_string_equal(why, "LOG.level: 9, at most 7");
	ev.name = span_make(filler, 70);
	assert_int_equal(msg_pack(&out, MSG_EVENT, &ev, &why), -1);
	assert_string_equal(why, "EVENT.name: 70 bytes, at most 64");
	ev.name = SPAN_NONE;
	assert_int_equal(msg_pack(&out, MSG_EVENT, &ev, &why), -1);
	assert_string_equal(why, "EVENT.name: 0 bytes, at least 1");
	assert_int_equal(msg_pack(&out, MSG_FIRE, &ev, &why), -1);
	assert_string_equal(why, "FIRE is reserved and not spoken by this version");
	assert_int_equal(msg_pack(&out, (enum msg_type)0xee, &ev, &why), -1);
	assert_string_equal(why, "no message has number 238");
	assert_int_equal(buf_span(&out).n, 0);
	buf_fini(&out);
}

static void
cut_anywhere_is_refused(void **state)
{
	const struct msg_def	*d;
	struct buf		 out = { 0 };
	union any		 m;
	struct msg_in		 in;
	size_t			 n, i, k;

	(void)state;
	d = msg_defs(&n);
	for (i = 0; i < n; i++) {
		if (d[i].fields == NULL)
			continue;
		fill(&m, &d[i], SMALL);
		raw_pack(&out, &d[i], &m);
		for (k = 0; k < out.n; k++) {
			assert_int_equal(unpack(span_make(out.p + out.off, k), &in), -1);
			assert_non_null(in.why);
		}
		assert_int_equal(unpack(buf_span(&out), &in), 0);
		buf_add(&out, "\0", 1);
		assert_int_equal(unpack(buf_span(&out), &in), -1);
		assert_non_null(strstr(in.why, "1 bytes behind the last field"));
	}
	buf_fini(&out);
}

/* Every field of every message in turn becomes something that its row does not say. */
static void
wrong_kinds_are_refused(void **state)
{
	static const struct { const char *bytes; size_t n; int fits; } others[] = {
		{ "\x90", 1, 9 },		/* nested containers, empty and not */
		{ "\x91\x01", 2, 9 },
		{ "\xdc\x00\x00", 3, 9 },
		{ "\xdd\xff\xff\xff\xff", 5, 9 },
		{ "\x80", 1, 9 },
		{ "\xde\x00\x00", 3, 9 },
		{ "\xdf\x98\x98\x98\x98", 5, 9 },
		{ "\xc0", 1, 9 },		/* nil, never used, bools */
		{ "\xc1", 1, 9 },
		{ "\xc2", 1, 9 },
		{ "\xc3", 1, 9 },
		{ "\xca\x3f\x80\x00\x00", 5, 9 },	/* floats */
		{ "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", 9, 9 },
		{ "\xd4\x01\x01", 3, 9 },	/* ext */
		{ "\xc7\x00\x01", 3, 9 },
		{ "\xff", 1, 9 },		/* negative */
		{ "\xd0\xff", 2, 9 },
		{ "\xd1\xff\xff", 3, 9 },
		{ "\xd2\xff\xff\xff\xff", 5, 9 },
		{ "\xd3\xff\xff\xff\xff\xff\xff\xff\xff", 9, 9 },
		{ "\x01", 1, MSG_KIND_U64 },
		{ "\xa2zz", 3, MSG_KIND_STR },
		{ "\xc4\x02zz", 4, MSG_KIND_BIN },
	};
	const struct msg_def	*d;
	struct buf		 out = { 0 };
	msgpack_packer		 pk;
	union any		 m;
	struct msg_in		 in;
	size_t			 n, i, j, k, o;
	char			 want[128];

	(void)state;
	d = msg_defs(&n);
	msgpack_packer_init(&pk, &out, to_buf);
	for (i = 0; i < n; i++)
		for (j = 0; j < d[i].fields_n; j++)
			for (o = 0; o < sizeof(others) / sizeof(others[0]); o++) {
				if (others[o].fits == (int)d[i].fields[j].kind ||
				    (others[o].fits == MSG_KIND_BIN &&
				    d[i].fields[j].kind == MSG_KIND_LIST))
					continue;
				fill(&m, &d[i], SMALL);
				buf_reset(&out);
				msgpack_pack_array(&pk, d[i].fields_n + 1);
				msgpack_pack_uint64(&pk, d[i].type);
				for (k = 0; k < d[i].fields_n; k++)
					if (k == j)
						buf_add(&out, others[o].bytes, others[o].n);
					else
						raw_field(&pk, &d[i].fields[k], &m);
				assert_int_equal(unpack(buf_span(&out), &in), -1);
				(void)snprintf(want, sizeof(want), "%s.%s: ", d[i].name,
				    d[i].fields[j].name);
				assert_memory_equal(in.why, want, strlen(want));
			}
	buf_fini(&out);
}

static void
odd_frames_are_refused(void **state)
{
	static const struct { struct span frame; const char *why; } odd[] = {
		{ { "", 0 }, "an empty frame" },
		/* Six bytes that make msgpack_unpack ask for 120 GB. */
		{ { "\x91\xdf\x98\x98\x98\x98", 6 }, "the message number is a nested container" },
		{ { "\xdd\xff\xff\xff\xff\x31", 6 }, "PING: 4294967294 fields, wanted 1" },
		{ { "\xdd\xff\xff", 3 }, "the frame ends in its array header" },
		{ { "\x31", 1 }, "the frame is not a msgpack array" },
		{ { "\x81\x31\x01", 3 }, "the frame is not a msgpack array" },
		{ { "\x90", 1 }, "an empty array" },
		{ { "\x91", 1 }, "the message number is cut short" },
		{ { "\x91\xa1x", 3 }, "the message number is a str" },
		{ { "\x91\xff", 2 }, "the message number is a negative number" },
		{ { "\x91\x00", 2 }, "no message has number 0" },
		{ { "\x91\xcf\0\0\0\1\0\0\0\x31", 10 }, "no message has number 4294967345" },
		{ { "\x92\x44\x01", 3 }, "FIRE is reserved and not spoken by this version" },
		{ { "\x91\x44", 2 }, "FIRE is reserved and not spoken by this version" },
		{ { "\x91\x31", 2 }, "PING: 0 fields, wanted 1" },
		{ { "\x93\x31\x01\x02", 4 }, "PING: 2 fields, wanted 1" },
		{ { "\x92\x31\x01\x02", 4 }, "PING: 1 bytes behind the last field" },
	};
	struct msg_in	 in;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		assert_int_equal(unpack(odd[i].frame, &in), -1);
		assert_string_equal(in.why, odd[i].why);
	}
}

/* Writers in other languages choose other widths, and signed ones for what is not negative. */
static void
every_width_is_accepted(void **state)
{
	static const struct span	 pings[] = {
		{ "\x92\x31\x05", 3 },
		{ "\xdc\x00\x02\x31\x05", 5 },
		{ "\xdd\x00\x00\x00\x02\x31\x05", 7 },
		{ "\x92\xcc\x31\xcc\x05", 5 },
		{ "\x92\xcd\x00\x31\xcd\x00\x05", 7 },
		{ "\x92\x31\xce\x00\x00\x00\x05", 7 },
		{ "\x92\x31\xcf\x00\x00\x00\x00\x00\x00\x00\x05", 11 },
		{ "\x92\x31\xd0\x05", 4 },
		{ "\x92\x31\xd1\x00\x05", 5 },
		{ "\x92\x31\xd2\x00\x00\x00\x05", 7 },
		{ "\x92\x31\xd3\x00\x00\x00\x00\x00\x00\x00\x05", 11 },
	};
	static const struct span	 logs[] = {
		{ "\x94\x34\x06\xa0\xa1x", 6 },
		{ "\x94\x34\x06\xd9\x00\xd9\x01x", 8 },
		{ "\x94\x34\x06\xda\x00\x00\xda\x00\x01x", 10 },
		{ "\x94\x34\x06\xdb\x00\x00\x00\x00\xdb\x00\x00\x00\x01x", 14 },
	};
	static const struct span	 says[] = {
		{ "\x92\x71\xc4\x01x", 5 },
		{ "\x92\x71\xc5\x00\x01x", 6 },
		{ "\x92\x71\xc6\x00\x00\x00\x01x", 8 },
	};
	struct msg_in	 in;
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(pings) / sizeof(pings[0]); i++) {
		assert_int_equal(unpack(pings[i], &in), 0);
		assert_int_equal(in.PING.cookie, 5);
	}
	for (i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
		assert_int_equal(msg_unpack(logs[i], &zone, &in), 0);
		assert_true(span_is(in.LOG.line, "x"));
		assert_int_equal(in.LOG.class.n, 0);
	}
	for (i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		assert_int_equal(msg_unpack(says[i], &zone, &in), 0);
		assert_true(span_is(in.SAY.json, "x"));
	}
}

static void
lists(void **state)
{
	static const struct { struct span raw; const char *why; } bad[] = {
		{ { "\x01", 1 }, "COUNT.deltas: 1 items do not make rows of 2" },
		{ { "\xa1x\x01\xa1y", 5 }, "COUNT.deltas: 3 items do not make rows of 2" },
		{ { "\xa1x\x91", 3 }, "COUNT.deltas: item 1 is a nested container" },
		{ { "\xa1x\xdf\x98\x98\x98\x98", 7 }, "COUNT.deltas: item 1 is a nested container" },
		{ { "\xa1x\xff", 3 }, "COUNT.deltas: item 1 is a negative number" },
		{ { "\xa1x\xc0", 3 }, "COUNT.deltas: item 1 is nil, bool, float or ext" },
		{ { "\xa1x\xc4\x01z", 5 }, "COUNT.deltas: item 1 is a bin, wanted a number or a str" },
		{ { "\xa1x\xa5yy", 5 }, "COUNT.deltas: item 1 is cut short" },
		{ { "\xa1x\xcd\x01", 4 }, "COUNT.deltas: item 1 is cut short" },
	};
	struct buf		 list = { 0 }, out = { 0 };
	struct msg_COUNT	 c;
	struct msg_list_iter	 it;
	struct msg_in		 in;
	struct span		 s;
	const char		*why;
	uint64_t		 v, i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		c.deltas.raw = bad[i].raw;
		raw_pack(&out, msg_def(MSG_COUNT), &c);
		assert_int_equal(unpack(buf_span(&out), &in), -1);
		assert_string_equal(in.why, bad[i].why);
		assert_int_equal(msg_pack(&out, MSG_COUNT, &c, &why), -1);
		assert_string_equal(why, bad[i].why);
	}
	for (i = 0; i < 256; i++) {
		msg_list_str(&list, SPAN("calls"));
		msg_list_u64(&list, i << 32);
	}
	c.deltas = msg_list_of(&list);
	buf_reset(&out);
	assert_int_equal(msg_pack(&out, MSG_COUNT, &c, &why), 0);
	assert_int_equal(msg_unpack(buf_span(&out), &zone, &in), 0);
	it = (struct msg_list_iter){ in.COUNT.deltas.raw, 0 };
	for (i = 0; msg_list_more(&it); i++) {
		assert_true(msg_list_next_str(&it, &s));
		assert_true(span_is(s, "calls"));
		assert_true(msg_list_next_u64(&it, &v));
		assert_true(v == i << 32);
	}
	assert_int_equal(i, 256);
	assert_false(msg_list_next_u64(&it, &v));
	/* The wrong kind reads as false, and the next column is still found. */
	it.off = 0;
	assert_false(msg_list_next_u64(&it, &v));
	assert_false(msg_list_next_str(&it, &s));
	assert_true(msg_list_next_str(&it, &s));
	/* Unchecked bytes end the list at once. */
	it = (struct msg_list_iter){ SPAN("\xc0\x01"), 0 };
	assert_false(msg_list_next_u64(&it, &v));
	assert_false(msg_list_more(&it));
	msg_list_str(&list, SPAN("calls"));
	msg_list_u64(&list, 1);
	c.deltas = msg_list_of(&list);
	assert_int_equal(msg_pack(&out, MSG_COUNT, &c, &why), -1);
	assert_string_equal(why, "COUNT.deltas: more than 256 rows");
	buf_fini(&list);
	buf_fini(&out);
}

/* An EVENT and its ACK are the hot path: they take nothing from the zone. */
static void
the_zone_does_not_grow(void **state)
{
	struct msg_EVENT	 ev = {
		.delivery = UINT64_MAX, .attempt = 1, .shard = 1, .seq = 77, .key = 1ull << 60,
		.name = SPAN("MESSAGE_CREATE"), .body = SPAN("{\"id\":\"1\"}"),
	};
	struct msg_ACK		 ack = { .delivery = 5 };
	struct buf		 a = { 0 }, b = { 0 };
	struct msg_in		 in;
	msgpack_zone_chunk	*head;
	size_t			 room;
	int			 i;

	(void)state;
	assert_int_equal(msg_pack(&a, MSG_EVENT, &ev, NULL), 0);
	assert_int_equal(msg_pack(&b, MSG_ACK, &ack, NULL), 0);
	head = zone.chunk_list.head;
	room = zone.chunk_list.free;
	for (i = 0; i < 1000; i++) {
		assert_int_equal(msg_unpack(buf_span(&a), &zone, &in), 0);
		assert_int_equal(msg_unpack(buf_span(&b), &zone, &in), 0);
	}
	assert_ptr_equal(zone.chunk_list.head, head);
	assert_int_equal(zone.chunk_list.free, room);
	buf_fini(&a);
	buf_fini(&b);
}

static void
the_document_names_everything(void **state)
{
	const struct msg_def	*d;
	struct buf		 out = { 0 };
	char			 want[128], *text;
	size_t			 n, i, j;

	(void)state;
	msg_document(&out);
	text = mem_spandup(buf_span(&out));
	d = msg_defs(&n);
	for (i = 0; i < n; i++) {
		(void)snprintf(want, sizeof(want), "%s (0x%02x", d[i].name, (unsigned)d[i].type);
		assert_non_null(strstr(text, want));
		for (j = 0; j < d[i].fields_n; j++) {
			(void)snprintf(want, sizeof(want), "| `%s` |", d[i].fields[j].name);
			assert_non_null(strstr(text, want));
		}
	}
	assert_non_null(strstr(text, "done 0\\|1"));	/* a bar would end the cell */
	free(text);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(numbers_and_names_are_unique),
		cmocka_unit_test(every_message_round_trips),
		cmocka_unit_test(every_bound_of_every_field_holds),
		cmocka_unit_test(refusals_read_well),
		cmocka_unit_test(cut_anywhere_is_refused),
		cmocka_unit_test(wrong_kinds_are_refused),
		cmocka_unit_test(odd_frames_are_refused),
		cmocka_unit_test(every_width_is_accepted),
		cmocka_unit_test(lists),
		cmocka_unit_test(the_zone_does_not_grow),
		cmocka_unit_test(the_document_names_everything),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
