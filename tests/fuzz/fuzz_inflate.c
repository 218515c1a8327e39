/*
 * inflate against zlib itself.
 *
 * First byte even: the rest is a stream as it comes from the network, fed in parts; the bytes must
 * be those that zlib's own zlib decoder finds.  Odd: the rest is text, deflated as messages and
 * fed in parts; each must come back, or be oversized exactly when it is.
 * A first byte of 0xfc or above: the rest is a zstd stream as it comes from the network; what comes
 * out in one piece comes out in parts, and nothing is held beyond the cap.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "common/mem.h"
#include "supervisor/gateway/inflate.h"
#include "tests/fuzz/fuzz.h"

#define MAX_BYTES	3000

static uint32_t	 seed;

static size_t
some(size_t n)
{
	seed = seed * 1664525 + 1013904223;
	return n == 0 ? 0 : 1 + (seed >> 8) % n;
}

/* Everything that zlib inflates of data; -1 on an error or an end. */
static int
reference(const uint8_t *data, size_t n, struct buf *out)
{
	z_stream	 z = { 0 };
	int		 rv;

	CHECK(inflateInit(&z) == Z_OK);
	z.next_in = (uint8_t *)(uintptr_t)data;
	z.avail_in = (unsigned)n;
	do {
		z.next_out = (unsigned char *)buf_room(out, 4096);
		z.avail_out = 4096;
		rv = inflate(&z, Z_SYNC_FLUSH);
		buf_added(out, 4096 - z.avail_out);
	} while (rv == Z_OK && z.avail_out == 0);
	(void)inflateEnd(&z);
	return rv == Z_OK || rv == Z_BUF_ERROR ? 0 : -1;
}

static void
from_network(const uint8_t *data, size_t n)
{
	struct inflate	*in = inflate_new(INFLATE_ZLIB, MAX_BYTES);
	struct buf	 mine = { 0 }, theirs = { 0 };
	struct span	 message;
	bool		 kept = true;
	enum inflate_result rv = INFLATE_MORE;

	for (size_t at = 0, part; at < n && rv != INFLATE_BROKEN; at += part) {
		char	*copy;

		part = some(n - at);
		copy = malloc(part);
		memcpy(copy, data + at, part);
		rv = inflate_feed(in, span_make(copy, part), (seed & 1) != 0, &message);
		if (rv == INFLATE_MESSAGE)
			buf_add_span(&mine, message);
		if (rv == INFLATE_OVERSIZED)
			kept = false;
		free(copy);
	}
	if (reference(data, n, &theirs) == 0) {
		/*
		 * The raw decoder sees the end before the checksum that zlib still waits for,
		 * and the wish for a dictionary before its name has come.
		 */
		CHECK(rv != INFLATE_BROKEN || inflate_message_bytes(in) > MAX_BYTES ||
		    strcmp(inflate_why(in), "the stream ended") == 0 || (n < 6 &&
		    (data[1] & 0x20) != 0));
		if (kept && rv != INFLATE_BROKEN) {
			CHECK(mine.n <= theirs.n);
			CHECK(span_eq(buf_span(&mine), span_make(theirs.p, mine.n)));
		}
	}
	buf_fini(&mine);
	buf_fini(&theirs);
	inflate_free(&in);
}

static void
from_text(const uint8_t *data, size_t n)
{
	struct inflate	*in = inflate_new(INFLATE_ZLIB, MAX_BYTES);
	z_stream	 z = { 0 };

	CHECK(deflateInit(&z, 6) == Z_OK);
	for (size_t at = 0, length; at < n; at += length) {
		struct buf	 packed = { 0 };
		struct span	 message;
		enum inflate_result rv = INFLATE_MORE;
		size_t		 bound, times = 1 + some(4) % 4 * (some(8) == 1 ? 400 : 1), total;
		char		*text;

		length = some(n - at);
		total = length * times;
		text = malloc(total);
		for (size_t i = 0; i < times; i++)
			memcpy(text + i * length, data + at, length);
		bound = deflateBound(&z, total) + 64;
		z.next_in = (unsigned char *)text;
		z.avail_in = (unsigned)total;
		z.next_out = (unsigned char *)buf_room(&packed, bound);
		z.avail_out = (unsigned)bound;
		CHECK(deflate(&z, Z_SYNC_FLUSH) == Z_OK && z.avail_in == 0);
		buf_added(&packed, bound - z.avail_out);
		for (size_t off = 0, part; off < packed.n; off += part) {
			part = some(packed.n - off);
			rv = inflate_feed(in, span_make(packed.p + off, part),
			    off + part == packed.n, &message);
			CHECK(off + part == packed.n || rv == INFLATE_MORE || rv == INFLATE_BROKEN);
			if (rv == INFLATE_BROKEN)
				break;
		}
		if (rv == INFLATE_BROKEN)
			CHECK(total > MAX_BYTES * INFLATE_BOMB_CAPS);
		else if (total > MAX_BYTES)
			CHECK(rv == INFLATE_OVERSIZED);
		else
			CHECK(rv == INFLATE_MESSAGE && span_eq(message, span_make(text, total)));
		free(text);
		buf_fini(&packed);
		if (rv == INFLATE_BROKEN)
			break;
	}
	(void)deflateEnd(&z);
	inflate_free(&in);
}

/* All bytes that come out; false: broken. */
static bool
all_of_zstd(const uint8_t *data, size_t n, bool in_parts, struct buf *out)
{
	struct inflate	*in = inflate_new(INFLATE_ZSTD, MAX_BYTES);
	struct span	 message;
	enum inflate_result rv = INFLATE_MORE;

	for (size_t at = 0, part; at < n && rv != INFLATE_BROKEN; at += part) {
		part = in_parts ? some(n - at) : n;
		rv = inflate_feed(in, span_make((const char *)data + at, part), at + part == n,
		    &message);
		CHECK(inflate_held_bytes(in) <= 64u << 10);
	}
	if (rv == INFLATE_MESSAGE) {
		CHECK(message.n <= MAX_BYTES && message.n == inflate_message_bytes(in));
		buf_add_span(out, message);
	}
	inflate_free(&in);
	return rv != INFLATE_BROKEN;
}

static void
from_network_zstd(const uint8_t *data, size_t n)
{
	struct buf	 whole = { 0 }, parts = { 0 };

	/* Of a frame that has come whole the library sees more mistakes, or fewer. */
	if (all_of_zstd(data, n, false, &whole) && all_of_zstd(data, n, true, &parts))
		CHECK(span_eq(buf_span(&whole), buf_span(&parts)));
	buf_fini(&whole);
	buf_fini(&parts);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 2)
		return 0;
	seed = data[0] * 2654435761u + (uint32_t)n;
	if (data[0] >= 0xfc)
		from_network_zstd(data + 1, n - 1);
	else if (data[0] % 2 == 0)
		from_network(data + 1, n - 1);
	else
		from_text(data + 1, n - 1);
	return 0;
}
