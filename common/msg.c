/*
 * msg - see msg.h.
 *
 * msgpack_unpack allocates from a container's claimed count, so a frame is first walked by
 * a scan that knows unsigned numbers, str and bin and nothing else.  What passes is given to
 * msgpack_unpack one element at a time: a scalar takes nothing from the zone, and str and bin
 * point into the frame, so decoding a message costs no memory at all.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/msg.h"

/* Reserved or spoken: every number of the table, in its order. */
static const unsigned numbers[] = {
#define MSG_RESERVED(name, number)		number,
#define MSG_BEGIN(name, number, sender, help)	number,
#define U64(field, min, max, help)
#define STR(field, min, max, help)
#define BIN(field, min, max, help)
#define LIST(field, arity, max, help)
#define MSG_END(name)
#include "proto/messages.def"
#undef MSG_RESERVED
#undef MSG_BEGIN
#undef U64
#undef STR
#undef BIN
#undef LIST
#undef MSG_END
};
#define NUMBERS_N	(sizeof(numbers) / sizeof(numbers[0]))

/* Each case has a type `self` of its own, which is what lets a field's row know its offset. */
const struct msg_def *
msg_def(unsigned type)
{
	switch (type) {
#define MSG_RESERVED(name, number)						\
	case number: {								\
		static const struct msg_def d = {				\
			MSG_##name, #name, MSG_FROM_EITHER, "", NULL, 0		\
		};								\
		return &d;							\
	}
#define MSG_BEGIN(name, number, sender, help)					\
	case number: {								\
		typedef struct msg_##name self;					\
		static const char about[] = help;				\
		enum { from = MSG_FROM_##sender };				\
		static const struct msg_field f[] = {
#define U64(field, min, max, help)						\
			{ #field, MSG_KIND_U64, offsetof(self, field), min, max, help },
#define STR(field, min, max, help)						\
			{ #field, MSG_KIND_STR, offsetof(self, field), min, max, help },
#define BIN(field, min, max, help)						\
			{ #field, MSG_KIND_BIN, offsetof(self, field), min, max, help },
#define LIST(field, arity, max, help)						\
			{ #field, MSG_KIND_LIST, offsetof(self, field), arity, max, help },
#define MSG_END(name)								\
		};								\
		static const struct msg_def d = {				\
			MSG_##name, #name, (enum msg_sender)from, about,	\
			f, sizeof(f) / sizeof(f[0])				\
		};								\
		return &d;							\
	}
#include "proto/messages.def"
#undef MSG_RESERVED
#undef MSG_BEGIN
#undef U64
#undef STR
#undef BIN
#undef LIST
#undef MSG_END
	default:
		return NULL;
	}
}

const struct msg_def *
msg_defs(size_t *n_r)
{
	static struct msg_def	 all[NUMBERS_N];
	size_t			 i;

	if (all[0].name == NULL)
		for (i = 0; i < NUMBERS_N; i++)
			all[i] = *msg_def(numbers[i]);
	*n_r = NUMBERS_N;
	return all;
}

const char *
msg_name(unsigned type)
{
	const struct msg_def	*d = msg_def(type);

	return d == NULL ? "?" : d->name;
}

/* What the scan knows; everything else is named in refusals only. */
enum elem_kind {
	ELEM_U64, ELEM_STR, ELEM_BIN,
	ELEM_NESTED, ELEM_NEGATIVE, ELEM_OTHER, ELEM_SHORT
};

struct elem {
	enum elem_kind	 kind;
	uint64_t	 u64;
	struct span	 bytes;
};

static const char *
elem_text(enum elem_kind k)
{
	switch (k) {
	case ELEM_U64:		return "a number";
	case ELEM_STR:		return "a str";
	case ELEM_BIN:		return "a bin";
	case ELEM_NESTED:	return "a nested container";
	case ELEM_NEGATIVE:	return "a negative number";
	case ELEM_OTHER:	return "nil, bool, float or ext";
	case ELEM_SHORT:	return "cut short";
	}
	return "?";
}

static uint64_t
big_endian(const unsigned char *p, size_t n)
{
	uint64_t	 v = 0;

	while (n-- > 0)
		v = v << 8 | *p++;
	return v;
}

/* One element at *off; true, *off behind it, when it is a number, str or bin and whole. */
static bool
scan(struct span in, size_t *off, struct elem *e)
{
	const unsigned char	*p = (const unsigned char *)in.p + *off;
	size_t			 left = in.n - *off, head;
	uint64_t		 v;
	unsigned char		 c;

	e->kind = ELEM_SHORT;
	if (left == 0)
		return false;
	c = *p;
	if (c <= 0x7f) {
		e->kind = ELEM_U64;
		e->u64 = c;
		*off += 1;
		return true;
	}
	if (c >= 0xe0)
		e->kind = ELEM_NEGATIVE;
	else if (c <= 0x9f || (c >= 0xdc && c <= 0xdf))
		e->kind = ELEM_NESTED;
	else if (c >= 0xcc && c <= 0xd3) {
		head = (size_t)1 << (c & 3);
		if (left - 1 < head)
			return false;
		v = big_endian(p + 1, head);
		if (c >= 0xd0 && (v >> (head * 8 - 1)) != 0) {
			e->kind = ELEM_NEGATIVE;
			return false;
		}
		e->kind = ELEM_U64;
		e->u64 = v;
		*off += 1 + head;
		return true;
	} else if (c <= 0xbf || (c >= 0xd9 && c <= 0xdb) || (c >= 0xc4 && c <= 0xc6)) {
		if (c <= 0xbf) {
			head = 0;
			v = c & 0x1f;
		} else {
			head = (size_t)1 << (c >= 0xd9 ? c - 0xd9 : c - 0xc4);
			if (left - 1 < head)
				return false;
			v = big_endian(p + 1, head);
		}
		if (v > left - 1 - head)
			return false;
		e->kind = c >= 0xc4 && c <= 0xc6 ? ELEM_BIN : ELEM_STR;
		e->bytes = span_make(p + 1 + head, (size_t)v);
		*off += 1 + head + (size_t)v;
		return true;
	} else
		e->kind = ELEM_OTHER;
	return false;
}

static char	 why_text[256];		/* see msg.h: one at a time, as errno */

static int __attribute__((format(printf, 2, 3)))
refuse(const char **why_r, const char *fmt, ...)
{
	va_list	 ap;

	va_start(ap, fmt);
	(void)vsnprintf(why_text, sizeof(why_text), fmt, ap);
	va_end(ap);
	if (why_r != NULL)
		*why_r = why_text;
	return -1;
}

static int
check_list(const struct msg_def *d, const struct msg_field *f, struct span raw, const char **why_r)
{
	struct elem	 e;
	size_t		 off = 0;
	uint64_t	 n = 0;

	while (off < raw.n) {
		if (!scan(raw, &off, &e))
			return refuse(why_r, "%s.%s: item %" PRIu64 " is %s", d->name, f->name, n,
			    elem_text(e.kind));
		if (e.kind == ELEM_BIN)
			return refuse(why_r, "%s.%s: item %" PRIu64 " is a bin, wanted a number or"
			    " a str", d->name, f->name, n);
		n++;
		if (n > f->min * f->max)
			return refuse(why_r, "%s.%s: more than %" PRIu64 " rows", d->name, f->name,
			    f->max);
	}
	if (n % f->min != 0)
		return refuse(why_r, "%s.%s: %" PRIu64 " items do not make rows of %" PRIu64,
		    d->name, f->name, n, f->min);
	return 0;
}

/* The range of one field; what it holds is at src + f->offset already. */
static int
check_field(const struct msg_def *d, const struct msg_field *f, const void *src,
    const char **why_r)
{
	const char		*at = (const char *)src + f->offset;
	uint64_t		 v = 0;
	const char		*unit = "";

	switch (f->kind) {
	case MSG_KIND_U64:
		v = *(const uint64_t *)(const void *)at;
		break;
	case MSG_KIND_STR:
	case MSG_KIND_BIN:
		v = ((const struct span *)(const void *)at)->n;
		unit = " bytes";
		break;
	case MSG_KIND_LIST:
		return check_list(d, f, ((const struct msg_list *)(const void *)at)->raw, why_r);
	}
	if (v < f->min)
		return refuse(why_r, "%s.%s: %" PRIu64 "%s, at least %" PRIu64, d->name, f->name, v,
		    unit, f->min);
	if (v > f->max)
		return refuse(why_r, "%s.%s: %" PRIu64 "%s, at most %" PRIu64, d->name, f->name, v,
		    unit, f->max);
	return 0;
}

static enum elem_kind
wanted(const struct msg_field *f)
{
	switch (f->kind) {
	case MSG_KIND_U64:	return ELEM_U64;
	case MSG_KIND_STR:	return ELEM_STR;
	case MSG_KIND_BIN:
	case MSG_KIND_LIST:	break;
	}
	return ELEM_BIN;
}

/*
 * The shape of the frame: one array of as many scalars as it says, of a message that is spoken
 * here, each of its field's kind, and nothing behind.  Only then is it shown to msgpack.
 *	off_r	out; where the first field begins
 */
static int
check_shape(struct span frame, const struct msg_def **def_r, size_t *off_r, const char **why_r)
{
	const struct msg_def	*d;
	struct elem		 e;
	const unsigned char	*p = (const unsigned char *)frame.p;
	uint64_t		 n, i;
	size_t			 off;

	if (frame.n == 0)
		return refuse(why_r, "an empty frame");
	if (p[0] >= 0x90 && p[0] <= 0x9f) {
		n = p[0] & 0x0f;
		off = 1;
	} else if (p[0] == 0xdc || p[0] == 0xdd) {
		off = p[0] == 0xdc ? 3 : 5;
		if (frame.n < off)
			return refuse(why_r, "the frame ends in its array header");
		n = big_endian(p + 1, off - 1);
	} else
		return refuse(why_r, "the frame is not a msgpack array");
	if (n == 0)
		return refuse(why_r, "an empty array");
	if (!scan(frame, &off, &e) || e.kind != ELEM_U64)
		return refuse(why_r, "the message number is %s", elem_text(e.kind));
	d = e.u64 > UINT32_MAX ? NULL : msg_def((unsigned)e.u64);
	if (d == NULL)
		return refuse(why_r, "no message has number %" PRIu64, e.u64);
	if (d->fields == NULL)
		return refuse(why_r, "%s is reserved and not spoken by this version", d->name);
	if (n - 1 != d->fields_n)
		return refuse(why_r, "%s: %" PRIu64 " fields, wanted %zu", d->name, n - 1,
		    d->fields_n);
	*off_r = off;
	for (i = 0; i < d->fields_n; i++) {
		if (!scan(frame, &off, &e))
			return refuse(why_r, "%s.%s: %s", d->name, d->fields[i].name,
			    elem_text(e.kind));
		if (e.kind != wanted(&d->fields[i]))
			return refuse(why_r, "%s.%s: %s, wanted %s", d->name, d->fields[i].name,
			    elem_text(e.kind), elem_text(wanted(&d->fields[i])));
	}
	if (off != frame.n)
		return refuse(why_r, "%s: %zu bytes behind the last field", d->name, frame.n - off);
	*def_r = d;
	return 0;
}

int
msg_unpack(struct span frame, msgpack_zone *zone, struct msg_in *in_r)
{
	const struct msg_def	*d = NULL;
	const struct msg_field	*f;
	msgpack_object		 o;
	msgpack_unpack_return	 got;
	char			*base = (char *)&in_r->HELLO;	/* all members begin here */
	size_t			 off = 0, i;

	in_r->why = NULL;
	if (check_shape(frame, &d, &off, &in_r->why) == -1)
		return -1;
	for (i = 0; i < d->fields_n; i++) {
		f = &d->fields[i];
		got = msgpack_unpack(frame.p, frame.n, &off, zone, &o);
		if (got != MSGPACK_UNPACK_SUCCESS && got != MSGPACK_UNPACK_EXTRA_BYTES)
			return refuse(&in_r->why, "%s.%s: not msgpack", d->name, f->name);
		switch (o.type) {
		case MSGPACK_OBJECT_POSITIVE_INTEGER:
			assert(f->kind == MSG_KIND_U64);
			*(uint64_t *)(void *)(base + f->offset) = o.via.u64;
			break;
		case MSGPACK_OBJECT_STR:
			assert(f->kind == MSG_KIND_STR);
			*(struct span *)(void *)(base + f->offset) =
			    span_make(o.via.str.ptr, o.via.str.size);
			break;
		case MSGPACK_OBJECT_BIN:
			assert(f->kind == MSG_KIND_BIN || f->kind == MSG_KIND_LIST);
			*(struct span *)(void *)(base + f->offset) =
			    span_make(o.via.bin.ptr, o.via.bin.size);
			break;
		default:
			assert(!"the scan let a kind through");
		}
		if (check_field(d, f, base, &in_r->why) == -1)
			return -1;
	}
	in_r->type = d->type;
	return 0;
}

static int
to_buf(void *arg, const char *p, size_t n)
{
	if (n > 0)
		buf_add(arg, p, n);
	return 0;
}

int
msg_pack(struct buf *out, enum msg_type type, const void *src, const char **why_r)
{
	const struct msg_def	*d = msg_def((unsigned)type);
	const struct msg_field	*f;
	const char		*at;
	msgpack_packer		 pk;
	struct span		 s;
	size_t			 i;

	if (d == NULL)
		return refuse(why_r, "no message has number %u", (unsigned)type);
	if (d->fields == NULL)
		return refuse(why_r, "%s is reserved and not spoken by this version", d->name);
	for (i = 0; i < d->fields_n; i++)
		if (check_field(d, &d->fields[i], src, why_r) == -1)
			return -1;
	msgpack_packer_init(&pk, out, to_buf);
	msgpack_pack_array(&pk, d->fields_n + 1);
	msgpack_pack_uint64(&pk, (uint64_t)type);
	for (i = 0; i < d->fields_n; i++) {
		f = &d->fields[i];
		at = (const char *)src + f->offset;
		switch (f->kind) {
		case MSG_KIND_U64:
			msgpack_pack_uint64(&pk, *(const uint64_t *)(const void *)at);
			break;
		case MSG_KIND_STR:
			s = *(const struct span *)(const void *)at;
			msgpack_pack_str(&pk, s.n);
			msgpack_pack_str_body(&pk, s.p, s.n);
			break;
		case MSG_KIND_BIN:
		case MSG_KIND_LIST:	/* a msg_list is its span and nothing else */
			s = *(const struct span *)(const void *)at;
			msgpack_pack_bin(&pk, s.n);
			msgpack_pack_bin_body(&pk, s.p, s.n);
			break;
		}
	}
	return 0;
}

void
msg_list_u64(struct buf *b, uint64_t v)
{
	msgpack_packer	 pk;

	msgpack_packer_init(&pk, b, to_buf);
	msgpack_pack_uint64(&pk, v);
}

void
msg_list_str(struct buf *b, struct span s)
{
	msgpack_packer	 pk;

	msgpack_packer_init(&pk, b, to_buf);
	msgpack_pack_str(&pk, s.n);
	msgpack_pack_str_body(&pk, s.p, s.n);
}

struct msg_list
msg_list_of(const struct buf *b)
{
	return (struct msg_list){ buf_span(b) };
}

bool
msg_list_more(const struct msg_list_iter *it)
{
	return it->off < it->raw.n;
}

/* A scalar that cannot be read ends the list, so that a loop over it always ends. */
static bool
list_next(struct msg_list_iter *it, struct elem *e)
{
	if (it->off < it->raw.n && scan(it->raw, &it->off, e))
		return true;
	it->off = it->raw.n;
	return false;
}

bool
msg_list_next_u64(struct msg_list_iter *it, uint64_t *v_r)
{
	struct elem	 e;

	if (!list_next(it, &e) || e.kind != ELEM_U64)
		return false;
	*v_r = e.u64;
	return true;
}

bool
msg_list_next_str(struct msg_list_iter *it, struct span *v_r)
{
	struct elem	 e;

	if (!list_next(it, &e) || e.kind != ELEM_STR)
		return false;
	*v_r = e.bytes;
	return true;
}

static const char *
sender_text(enum msg_sender s)
{
	switch (s) {
	case MSG_FROM_SUPERVISOR:	return "supervisor to worker";
	case MSG_FROM_WORKER:		return "worker to supervisor";
	case MSG_FROM_EITHER:		return "either way";
	case MSG_FROM_CTL:		return "bulkheadctl to supervisor";
	case MSG_FROM_CTLD:		return "supervisor to bulkheadctl";
	case MSG_FROM_CONFIG:		return "configuration child to its parent";
	}
	return "?";
}

static void
document_field(struct buf *out, const struct msg_field *f)
{
	static const char *const	 kinds[] = { "uint", "str", "bin", "list" };
	const char			*p;

	buf_printf(out, "| `%s` | %s | ", f->name, kinds[f->kind]);
	switch (f->kind) {
	case MSG_KIND_U64:
		buf_printf(out, "%" PRIu64 " to ", f->min);
		if (f->max == UINT64_MAX)
			buf_printf(out, "2^64-1");
		else
			buf_printf(out, "%" PRIu64, f->max);
		break;
	case MSG_KIND_STR:
	case MSG_KIND_BIN:
		buf_printf(out, "%" PRIu64 " to %" PRIu64 " bytes", f->min, f->max);
		break;
	case MSG_KIND_LIST:
		buf_printf(out, "rows of %" PRIu64 ", at most %" PRIu64, f->min, f->max);
		break;
	}
	buf_printf(out, " | ");
	for (p = f->help; *p != '\0'; p++) {
		if (*p == '|')
			buf_add(out, "\\", 1);
		buf_add(out, p, 1);
	}
	buf_printf(out, " |\n");
}

void
msg_document(struct buf *out)
{
	const struct msg_def	*d;
	size_t			 n, i, j;

	d = msg_defs(&n);
	buf_printf(out, "# Messages\n\n"
	    "A frame is a 32-bit big-endian length and one flat msgpack array"
	    " `[number, fields...]`.\nA list is one bin that holds a msgpack sequence of"
	    " unsigned numbers and strs, row after row.\n");
	for (i = 0; i < n; i++) {
		if (d[i].fields == NULL)
			continue;
		buf_printf(out, "\n## %s (0x%02x, %u), %s\n\n%s\n\n", d[i].name,
		    (unsigned)d[i].type, (unsigned)d[i].type, sender_text(d[i].sender), d[i].help);
		buf_printf(out, "| field | kind | range | meaning |\n|---|---|---|---|\n");
		for (j = 0; j < d[i].fields_n; j++)
			document_field(out, &d[i].fields[j]);
	}
	buf_printf(out, "\n## Reserved numbers\n\nNamed by the protocol, not spoken by this"
	    " version: a frame that carries one is refused.\n\n");
	for (i = 0; i < n; i++)
		if (d[i].fields == NULL)
			buf_printf(out, "- %s (0x%02x)\n", d[i].name, (unsigned)d[i].type);
}
