/*
 * inflate - see inflate.h.
 *
 * Input is inflated as it arrives, so compressed bytes are never gathered; of a zlib stream the last
 * four are remembered, which say whether a message is whole.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "common/mem.h"
#include "supervisor/gateway/inflate.h"

#define OUT_FIRST	(64u << 10)	/* most messages fit */
#define OUT_KEEP	(1u << 20)	/* a buffer that grew larger is given back */
#define RAW_WINDOW	(-15)		/* largest window, no header, no checksum */

struct inflate {
	enum inflate_codec codec;
	z_stream	 z;
	ZSTD_DCtx	*zstd;
	struct buf	 out;
	size_t		 max_bytes;
	uint64_t	 message_bytes;	/* of this message so far, kept or thrown away */
	bool		 fresh;		/* the next part begins a message */
	bool		 oversized;
	unsigned	 header_n;	/* header bytes seen: zlib 0 to 2; zstd 0 to 4, of this frame */
	unsigned char	 cmf;
	uint32_t	 tail;		/* last four bytes of input, newest lowest */
	const char	*why;		/* set: broken, for good */
};

struct inflate *
inflate_new(enum inflate_codec codec, size_t message_max_bytes)
{
	struct inflate	*in = mem_alloc(sizeof(*in));

	in->codec = codec;
	in->max_bytes = message_max_bytes;
	in->fresh = true;
	if (codec == INFLATE_ZSTD) {
		if ((in->zstd = ZSTD_createDCtx()) == NULL ||
		    ZSTD_isError(ZSTD_DCtx_setParameter(in->zstd, ZSTD_d_windowLogMax,
		    INFLATE_ZSTD_WINDOW_LOG)))
			in->why = "zstd cannot start";
	} else if (inflateInit2(&in->z, RAW_WINDOW) != Z_OK)
		in->why = "zlib cannot start";
	return in;
}

void
inflate_free(struct inflate **in)
{
	if (*in == NULL)
		return;
	if ((*in)->codec == INFLATE_ZSTD)
		(void)ZSTD_freeDCtx((*in)->zstd);
	else
		(void)inflateEnd(&(*in)->z);
	buf_fini(&(*in)->out);
	free(*in);
	*in = NULL;
}

const char *
inflate_why(const struct inflate *in)
{
	return in->why == NULL ? "not broken" : in->why;
}

size_t
inflate_held_bytes(const struct inflate *in)
{
	return in->out.cap;
}

uint64_t
inflate_message_bytes(const struct inflate *in)
{
	return in->message_bytes;
}

static enum inflate_result
broken(struct inflate *in, const char *why)
{
	in->why = why;
	return INFLATE_BROKEN;
}

/* RFC 1950: method deflate, window at most 32 KiB, check bits, no preset dictionary. */
static bool
header_ok(unsigned char cmf, unsigned char flg)
{
	return (cmf & 0x0f) == 8 && (cmf >> 4) <= 7 && (cmf * 256u + flg) % 31 == 0 &&
	    (flg & 0x20) == 0;
}

/* Take the header's bytes off the front of the part; false when they are none. */
static bool
take_header(struct inflate *in, struct span *part)
{
	while (in->header_n < 2 && part->n > 0) {
		unsigned char	 c = (unsigned char)part->p[0];

		part->p++;
		part->n--;
		if (in->header_n++ == 0)
			in->cmf = c;
		else if (!header_ok(in->cmf, c))
			return false;
	}
	return true;
}

static void
remember_tail(struct inflate *in, struct span part)
{
	for (size_t i = part.n > 4 ? part.n - 4 : 0; i < part.n; i++)
		in->tail = in->tail << 8 | (unsigned char)part.p[i];
}

/*
 * Where the next output goes: the buffer's room, grown in steps of itself; its start once the
 * message is lost.
 */
static char *
out_room(struct inflate *in, size_t *n_r)
{
	size_t		 room, want;

	if (in->oversized) {
		buf_reset(&in->out);
		*n_r = in->out.cap;
		return buf_room(&in->out, 1);
	}
	room = in->out.cap - in->out.off - in->out.n;
	if (room == 0) {
		want = in->out.n < OUT_FIRST ? OUT_FIRST : in->out.n;
		/* One byte above the cap, so that going over it shows. */
		if (want > in->max_bytes + 1 - in->out.n)
			want = in->max_bytes + 1 - in->out.n;
		(void)buf_room(&in->out, want);
		room = in->out.cap - in->out.off - in->out.n;
	}
	*n_r = room;
	return buf_room(&in->out, room);
}

/*
 * As much of the part as fits dst; it is shortened by that.  False: broken.  Less than room in *n_r:
 * nothing is left of the part, nor of what the codec holds.
 */
static bool
unpack_zlib(struct inflate *in, struct span *part, char *dst, size_t room, size_t *n_r)
{
	int	 rv;

	assert(part->n <= UINT32_MAX);
	in->z.next_in = (unsigned char *)(uintptr_t)part->p;
	in->z.avail_in = (unsigned)part->n;
	in->z.next_out = (unsigned char *)dst;
	in->z.avail_out = (unsigned)room;
	rv = inflate(&in->z, Z_SYNC_FLUSH);
	*part = span_make(part->p + (part->n - in->z.avail_in), in->z.avail_in);
	*n_r = room - in->z.avail_out;
	if (rv == Z_STREAM_END)
		in->why = "the stream ended";
	else if (rv != Z_OK && rv != Z_BUF_ERROR)
		in->why = "data error";
	return in->why == NULL;
}

/*
 * The first bytes of a frame, as far as they have come.  Debian's library would take those of the
 * formats before zstd 1.0 too, whose decoders know no bound of the window.
 */
static bool
is_zstd(struct inflate *in, const char *p, size_t n)
{
	static const char	 magic[] = { 0x28, (char)0xb5, 0x2f, (char)0xfd };

	for (; in->header_n < sizeof(magic) && n > 0; in->header_n++, p++, n--)
		if (*p != magic[in->header_n])
			return false;
	return true;
}

static bool
unpack_zstd(struct inflate *in, struct span *part, char *dst, size_t room, size_t *n_r)
{
	ZSTD_inBuffer	 from = { part->p, part->n, 0 };
	ZSTD_outBuffer	 to = { dst, room, 0 };
	size_t		 rv;

	*n_r = 0;
	/* It stops at the end of a frame, with room and input left. */
	do {
		if (!is_zstd(in, part->p + from.pos, from.size - from.pos)) {
			in->why = "incorrect header";
			return false;
		}
		rv = ZSTD_decompressStream(in->zstd, &to, &from);
		if (rv == 0)
			in->header_n = 0;
	} while (!ZSTD_isError(rv) && from.pos < from.size && to.pos < to.size);
	*part = span_make(part->p + from.pos, part->n - from.pos);
	*n_r = to.pos;
	if (ZSTD_isError(rv))
		in->why = ZSTD_getErrorName(rv);	/* static */
	return in->why == NULL;
}

/* Is what has come a whole message, when the WebSocket message has ended? */
static bool
is_whole(const struct inflate *in)
{
	return in->codec == INFLATE_ZSTD ? in->message_bytes > 0 : in->tail == 0x0000ffff;
}

enum inflate_result
inflate_feed(struct inflate *in, struct span part, bool last, struct span *message_r)
{
	size_t	 room, got;
	char	*dst;
	bool	 ok;

	if (in->why != NULL)
		return INFLATE_BROKEN;
	if (in->fresh) {
		in->fresh = false;
		in->oversized = false;
		in->message_bytes = 0;
		buf_reset(&in->out);
		buf_shrink(&in->out, OUT_KEEP);
	}
	if (in->codec == INFLATE_ZLIB) {
		remember_tail(in, part);
		if (!take_header(in, &part))
			return broken(in, "incorrect header");
	}
	for (;;) {
		dst = out_room(in, &room);
		if (room > UINT32_MAX)
			room = UINT32_MAX;
		ok = in->codec == INFLATE_ZSTD ? unpack_zstd(in, &part, dst, room, &got) :
		    unpack_zlib(in, &part, dst, room, &got);
		in->message_bytes += got;
		if (!in->oversized)
			buf_added(&in->out, got);
		if (in->message_bytes > in->max_bytes)
			in->oversized = true;
		if (!ok)
			return INFLATE_BROKEN;
		if (in->message_bytes / INFLATE_BOMB_CAPS > in->max_bytes)
			return broken(in, "a message far above every bound");
		/* Room left: there is no more. */
		if (got < room)
			break;
	}
	if (!last || !is_whole(in))
		return INFLATE_MORE;
	in->fresh = true;
	if (in->oversized)
		return INFLATE_OVERSIZED;
	*message_r = buf_span(&in->out);
	return INFLATE_MESSAGE;
}
