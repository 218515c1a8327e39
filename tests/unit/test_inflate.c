/*
 * inflate: the published vectors, messages in any cut, the cap, what is no stream; zstd beside zlib.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "common/mem.h"
#include "supervisor/gateway/inflate.h"

#define CAP	(64u << 20)

/* Two messages of one stream, in this order. */
static const char vector_a[] =
    "789caa562a51b2ca2bcdc9d1512a8631f20b94ac0c0d74945294acaa953252138b4a9252134be233f34a52"
    "8bca127394ac4c0c8d4c0d6a6b01000000ffff";
static const char text_a[] =
    "{\"t\":null,\"s\":null,\"op\":10,\"d\":{\"heartbeat_interval\":41250}}";
static const char vector_b[] =
    "aa06e9550a7275748954026b3784e885692d8318539c5a5c9c999f179f0914544a4c4a06aa2d4a2d2ecd4d"
    "8d4f4f2c492d4fac8c2f2d021aaa545e5c6ca5af5fa1545b0b000000ffff";
static const char text_b[] =
    "{\"t\":\"READY\",\"s\":1,\"op\":0,\"d\":{\"v\":10,\"session_id\":\"abc\","
    "\"resume_gateway_url\":\"wss://x\"}}";

static struct span
unhex(const char *hex, char *dst)
{
	size_t	 n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		char	 two[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

		dst[i] = (char)strtoul(two, NULL, 16);
	}
	return span_make(dst, n);
}

/* The other end: one deflate stream, each message flushed. */
static void
compressed(z_stream *z, struct span text, struct buf *out)
{
	size_t	 bound = deflateBound(z, text.n) + 64;

	buf_reset(out);
	z->next_in = (unsigned char *)(uintptr_t)text.p;
	z->avail_in = (unsigned)text.n;
	z->next_out = (unsigned char *)buf_room(out, bound);
	z->avail_out = (unsigned)bound;
	assert_int_equal(deflate(z, Z_SYNC_FLUSH), Z_OK);
	assert_int_equal(z->avail_in, 0);
	buf_added(out, bound - z->avail_out);
}

static void
vectors(void **state)
{
	char		 bytes[256];
	struct inflate	*in = inflate_new(INFLATE_ZLIB, CAP);
	struct span	 message;

	(void)state;
	assert_int_equal(inflate_feed(in, unhex(vector_a, bytes), true, &message), INFLATE_MESSAGE);
	assert_true(span_is(message, text_a));
	assert_int_equal(inflate_feed(in, unhex(vector_b, bytes), true, &message), INFLATE_MESSAGE);
	assert_true(span_is(message, text_b));
	inflate_free(&in);
	assert_null(in);
}

/* Azoy/Sword#60 and others: a message of a running stream does not begin a new one. */
static void
second_alone_fails(void **state)
{
	char		 bytes[256];
	struct inflate	*in = inflate_new(INFLATE_ZLIB, CAP);
	struct span	 message;

	(void)state;
	assert_int_equal(inflate_feed(in, unhex(vector_b, bytes), true, &message), INFLATE_BROKEN);
	assert_string_equal(inflate_why(in), "incorrect header");
	assert_int_equal(inflate_feed(in, unhex(vector_a, bytes), true, &message), INFLATE_BROKEN);
	inflate_free(&in);
}

/*
 * In every cut, even inside header and suffix; a WebSocket message without the suffix is not
 * whole.
 */
static void
any_cut(void **state)
{
	char		 bytes[256];
	struct span	 all = unhex(vector_a, bytes), message;

	(void)state;
	for (size_t a = 0; a <= all.n; a++)
		for (int last = 0; last <= 1; last++) {
			struct inflate	*in = inflate_new(INFLATE_ZLIB, CAP);

			if (a == all.n)
				last = 0;
			assert_int_equal(inflate_feed(in, span_make(all.p, a), last, &message),
			    INFLATE_MORE);
			assert_int_equal(inflate_feed(in, span_make(all.p + a, all.n - a), true,
			    &message), INFLATE_MESSAGE);
			assert_true(span_is(message, text_a));
			inflate_free(&in);
			if (a == all.n)
				break;
		}
}

/*
 * Compared with what went in: sizes around the buffer's steps; memory is given back after a
 * large one.
 */
static void
sizes(void **state)
{
	static const size_t size[] = { 1, 60, 65535, 65536, 65537, 131072, 1000000, 5000000, 30,
	    70000, 30 };
	struct inflate	*in = inflate_new(INFLATE_ZLIB, CAP);
	struct buf	 packed = { 0 };
	struct span	 message;
	z_stream	 z = { 0 };
	char		*text;
	uint32_t	 x = 1;

	(void)state;
	assert_int_equal(deflateInit(&z, 6), Z_OK);
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		text = mem_alloc(size[i]);
		for (size_t k = 0; k < size[i]; k++) {
			x = x * 1664525 + 1013904223;
			text[k] = k % 3 == 0 ? (char)('a' + (x >> 27)) : 'x';
		}
		compressed(&z, span_make(text, size[i]), &packed);
		assert_int_equal(inflate_feed(in, buf_span(&packed), true, &message),
		    INFLATE_MESSAGE);
		assert_true(span_eq(message, span_make(text, size[i])));
		assert_int_equal(inflate_message_bytes(in), size[i]);
		if (size[i] == 5000000)
			assert_true(inflate_held_bytes(in) >= size[i]);
		else if (i > 8)
			assert_true(inflate_held_bytes(in) <= 1u << 20);
		free(text);
	}
	(void)deflateEnd(&z);
	buf_fini(&packed);
	inflate_free(&in);
}

/*
 * design.md 7: what is longer than the cap is inflated and thrown away; the next message is
 * whole.
 */
static void
oversized(void **state)
{
	enum { MAX = 100000 };
	static const size_t size[] = { MAX - 1, MAX, MAX + 1, 10, 5 * MAX, MAX, 10 };
	struct inflate	*in = inflate_new(INFLATE_ZLIB, MAX);
	struct buf	 packed = { 0 };
	struct span	 message;
	z_stream	 z = { 0 };
	char		*text = mem_alloc(5 * MAX);

	(void)state;
	assert_int_equal(deflateInit(&z, 6), Z_OK);
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		memset(text, 'a' + (int)i, size[i]);
		compressed(&z, span_make(text, size[i]), &packed);
		if (size[i] > MAX) {
			assert_int_equal(inflate_feed(in, buf_span(&packed), true, &message),
			    INFLATE_OVERSIZED);
		} else {
			assert_int_equal(inflate_feed(in, buf_span(&packed), true, &message),
			    INFLATE_MESSAGE);
			assert_true(span_eq(message, span_make(text, size[i])));
		}
		assert_int_equal(inflate_message_bytes(in), size[i]);
		assert_true(inflate_held_bytes(in) < 3 * MAX);
	}
	(void)deflateEnd(&z);
	free(text);
	buf_fini(&packed);
	inflate_free(&in);
}

/* A bomb costs bounded time. */
static void
bomb(void **state)
{
	enum { MAX = 1000 };
	struct inflate	*in = inflate_new(INFLATE_ZLIB, MAX);
	struct buf	 packed = { 0 };
	struct span	 message;
	z_stream	 z = { 0 };
	char		*text = mem_alloc(100 * MAX);

	(void)state;
	assert_int_equal(deflateInit(&z, 9), Z_OK);
	compressed(&z, span_make(text, 100 * MAX), &packed);
	assert_int_equal(inflate_feed(in, buf_span(&packed), true, &message), INFLATE_BROKEN);
	assert_string_equal(inflate_why(in), "a message far above every bound");
	(void)deflateEnd(&z);
	free(text);
	buf_fini(&packed);
	inflate_free(&in);
}

/* ---- zstd ---- */

static void
zstd_packed(ZSTD_CCtx *z, struct span text, ZSTD_EndDirective how, struct buf *out)
{
	ZSTD_inBuffer	 from = { text.p, text.n, 0 };
	ZSTD_outBuffer	 to = { NULL, ZSTD_compressBound(text.n) + 64, 0 };

	buf_reset(out);
	to.dst = buf_room(out, to.size);
	assert_int_equal(ZSTD_compressStream2(z, &to, &from, how), 0);
	assert_int_equal(from.pos, from.size);
	buf_added(out, to.pos);
}

static char *
some_text(size_t n)
{
	char		*text = mem_alloc(n);
	uint32_t	 x = (uint32_t)n;

	for (size_t k = 0; k < n; k++) {
		x = x * 1664525 + 1013904223;
		text[k] = k % 3 == 0 ? (char)('a' + (x >> 27)) : 'x';
	}
	return text;
}

/* Sizes around the buffer's steps and zstd's blocks, each in parts of its own; one stream. */
static void
zstd_sizes(void **state)
{
	static const size_t size[] = { 1, 60, 65535, 65536, 65537, 131072, 131073, 1000000, 5000000,
	    30, 70000, 30 };
	static const size_t part[] = { SIZE_MAX, 1000, 7, 1 };
	struct inflate	*in = inflate_new(INFLATE_ZSTD, CAP);
	struct buf	 packed = { 0 };
	struct span	 message, all;
	ZSTD_CCtx	*z = ZSTD_createCCtx();
	enum inflate_result rv = INFLATE_MORE;

	(void)state;
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		char	*text = some_text(size[i]);
		size_t	 step = part[i % 4];

		zstd_packed(z, span_make(text, size[i]), ZSTD_e_flush, &packed);
		all = buf_span(&packed);
		for (size_t at = 0, n; at < all.n; at += n) {
			n = all.n - at < step ? all.n - at : step;
			rv = inflate_feed(in, span_make(all.p + at, n), at + n == all.n, &message);
			assert_int_equal(rv, at + n == all.n ? INFLATE_MESSAGE : INFLATE_MORE);
		}
		assert_int_equal(rv, INFLATE_MESSAGE);
		assert_true(span_eq(message, span_make(text, size[i])));
		assert_int_equal(inflate_message_bytes(in), size[i]);
		free(text);
	}
	assert_true(inflate_held_bytes(in) <= 1u << 20);
	ZSTD_freeCCtx(z);
	buf_fini(&packed);
	inflate_free(&in);
}

/* A peer may end a frame and begin another. */
static void
zstd_frames(void **state)
{
	struct inflate	*in = inflate_new(INFLATE_ZSTD, CAP);
	struct buf	 packed = { 0 };
	struct span	 message;
	ZSTD_CCtx	*z = ZSTD_createCCtx();

	(void)state;
	for (int i = 0; i < 6; i++) {
		zstd_packed(z, SPAN("{\"op\":11}"), i % 2 == 0 ? ZSTD_e_end : ZSTD_e_flush, &packed);
		assert_int_equal(inflate_feed(in, buf_span(&packed), true, &message),
		    INFLATE_MESSAGE);
		assert_true(span_is(message, "{\"op\":11}"));
	}
	assert_int_equal(inflate_feed(in, SPAN_NONE, true, &message), INFLATE_MORE);
	ZSTD_freeCCtx(z);
	buf_fini(&packed);
	inflate_free(&in);
}

/* Above the cap: thrown away, the context goes on; far above it: broken. */
static void
zstd_oversized(void **state)
{
	enum { MAX = 100000 };
	static const size_t size[] = { MAX - 1, MAX, MAX + 1, 10, 5 * MAX, MAX, 10, 100 * MAX };
	struct inflate	*in = inflate_new(INFLATE_ZSTD, MAX);
	struct buf	 packed = { 0 };
	struct span	 message;
	ZSTD_CCtx	*z = ZSTD_createCCtx();
	char		*text = mem_alloc(100 * MAX);

	(void)state;
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		memset(text, 'a' + (int)i, size[i]);
		zstd_packed(z, span_make(text, size[i]), ZSTD_e_flush, &packed);
		assert_int_equal(inflate_feed(in, buf_span(&packed), true, &message),
		    size[i] == 100 * MAX ? INFLATE_BROKEN :
		    size[i] > MAX ? INFLATE_OVERSIZED : INFLATE_MESSAGE);
		if (size[i] <= MAX)
			assert_true(span_eq(message, span_make(text, size[i])));
		assert_true(inflate_held_bytes(in) < 3 * MAX);
	}
	assert_string_equal(inflate_why(in), "a message far above every bound");
	ZSTD_freeCCtx(z);
	free(text);
	buf_fini(&packed);
	inflate_free(&in);
}

/*
 * Neither JSON nor zlib is a frame, nor are the formats before zstd 1.0, nor what may be skipped; a
 * window of 16 MiB is refused before memory is taken for it.
 */
static void
zstd_no_stream(void **state)
{
	static const struct { const char *hex, *why; } row[] = {
		{ "7b226f70223a31307d", "incorrect header" },
		{ "789caa562a51b2ca2b", "incorrect header" },
		{ "1f8b0800000000000003", "incorrect header" },
		{ "25b52ffd005b16100500", "incorrect header" },
		{ "27b52ffd0058", "incorrect header" },
		{ "502a4d1804000000", "incorrect header" },
		{ "28b52ffd00705500007b7d0a", "Frame requires too much memory for decoding" },
		{ "28b52ffd2000ffffffff", NULL },
	};
	char		 bytes[64];
	struct span	 message;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct inflate	*in = inflate_new(INFLATE_ZSTD, CAP);

		assert_int_equal(inflate_feed(in, unhex(row[i].hex, bytes), true, &message),
		    INFLATE_BROKEN);
		if (row[i].why != NULL)
			assert_string_equal(inflate_why(in), row[i].why);
		assert_int_equal(inflate_feed(in, unhex(row[i].hex, bytes), true, &message),
		    INFLATE_BROKEN);
		inflate_free(&in);
	}
}

static void
no_stream(void **state)
{
	static const struct { const char *hex, *why; } row[] = {
		{ "7b226f70223a31307d", "incorrect header" },		/* JSON */
		{ "1f8b0800000000000003", "incorrect header" },		/* gzip */
		{ "28b52ffd", "incorrect header" },			/* zstd */
		{ "889c", "incorrect header" },				/* a window of 64 KiB */
		{ "78bb", "incorrect header" },				/* preset dictionary */
		{ "789cffff", "data error" },
		{ "789c0300", "the stream ended" },
	};
	char		 bytes[64];
	struct span	 message;

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct inflate	*in = inflate_new(INFLATE_ZLIB, CAP);

		assert_int_equal(inflate_feed(in, unhex(row[i].hex, bytes), true, &message),
		    INFLATE_BROKEN);
		assert_string_equal(inflate_why(in), row[i].why);
		inflate_free(&in);
	}
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(vectors),
		cmocka_unit_test(second_alone_fails),
		cmocka_unit_test(any_cut),
		cmocka_unit_test(sizes),
		cmocka_unit_test(oversized),
		cmocka_unit_test(bomb),
		cmocka_unit_test(no_stream),
		cmocka_unit_test(zstd_sizes),
		cmocka_unit_test(zstd_frames),
		cmocka_unit_test(zstd_oversized),
		cmocka_unit_test(zstd_no_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
