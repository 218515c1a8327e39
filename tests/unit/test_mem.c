/* mem: the growing buffer keeps its bytes through growth, drops and moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "common/mem.h"

static void
allocations(void **state)
{
	char		*p = mem_alloc(16), *q;
	uint32_t	*a = mem_array(4, sizeof(*a));

	(void)state;
	for (int i = 0; i < 16; i++)
		assert_int_equal(p[i], 0);
	a[3] = 7;
	a = mem_grow(a, 100, sizeof(*a));
	assert_int_equal(a[3], 7);
	free(p);
	free(a);
	assert_null(mem_strdup(NULL));
	p = mem_strdup("abc");
	q = mem_spandup(span_make("abcdef", 2));
	assert_string_equal(p, "abc");
	assert_string_equal(q, "ab");
	free(q);
	q = mem_printf("%s-%d", p, 5);
	assert_string_equal(q, "abc-5");
	mem_wipe_free(&q);
	assert_null(q);
	mem_wipe_free(&q);
	mem_wipe_free(&p);
	p = mem_spandup(SPAN_NONE);
	assert_string_equal(p, "");
	free(p);
}

static void
empty_buffer(void **state)
{
	struct buf	 b = { 0 };

	(void)state;
	assert_int_equal(buf_span(&b).n, 0);
	buf_reset(&b);
	buf_drop(&b, 0);
	buf_shrink(&b, 0);
	buf_add(&b, NULL, 0);
	assert_null(b.p);
	assert_non_null(buf_room(&b, 0));
	buf_fini(&b);
	assert_null(b.p);
}

/* A queue: what goes in at the end comes out at the front, whatever the sizes. */
static void
queue_keeps_order(void **state)
{
	struct buf	 b = { 0 };
	uint8_t		 in = 0, out = 0;
	size_t		 held = 0, most = 0;
	unsigned	 rnd = 12345;

	(void)state;
	for (int turn = 0; turn < 20000; turn++) {
		size_t	 n;

		rnd = rnd * 1103515245 + 12345;
		n = rnd >> 16 & 0xff;
		if (held < 4000 && (rnd & 0x8000000) != 0) {
			char	*p = buf_room(&b, n);

			for (size_t i = 0; i < n; i++)
				p[i] = (char)in++;
			buf_added(&b, n);
			held += n;
		} else {
			struct span	 s = buf_span(&b);

			assert_int_equal(s.n, held);
			n = n > held ? held : n;
			for (size_t i = 0; i < n; i++)
				assert_int_equal((uint8_t)s.p[i], out++);
			buf_drop(&b, n);
			held -= n;
		}
		most = b.cap > most ? b.cap : most;
	}
	/* What was consumed is used again: a queue of 4 KiB does not grow for ever. */
	assert_true(most <= 16384);
	buf_fini(&b);
}

static void
printing(void **state)
{
	struct buf	 b = { 0 };
	char		 big[2001];

	(void)state;
	memset(big, 'x', 2000);
	big[2000] = '\0';
	buf_printf(&b, "%d,", 1);
	buf_printf(&b, "%s,", big);
	buf_add_span(&b, SPAN("end"));
	assert_int_equal(b.n, 2 + 2001 + 3);
	assert_memory_equal(buf_span(&b).p, "1,xxx", 5);
	assert_memory_equal(buf_span(&b).p + 2000, "xx,end", 6);
	/* Of every length around the room that is there. */
	for (int n = 0; n < 600; n++) {
		struct buf	 c = { 0 };

		buf_printf(&c, "%.*s", n, big);
		assert_int_equal(c.n, n);
		buf_printf(&c, "|");
		assert_int_equal(buf_span(&c).p[n], '|');
		buf_fini(&c);
	}
	buf_fini(&b);
}

static void
shrinks_only_when_empty(void **state)
{
	struct buf	 b = { 0 };

	(void)state;
	(void)buf_room(&b, 100000);
	buf_added(&b, 10);
	buf_shrink(&b, 65536);
	assert_true(b.cap >= 100000);
	buf_drop(&b, 10);
	buf_shrink(&b, 200000);
	assert_true(b.cap >= 100000);
	buf_shrink(&b, 65536);
	assert_int_equal(b.cap, 0);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(allocations),
		cmocka_unit_test(empty_buffer),
		cmocka_unit_test(queue_keeps_order),
		cmocka_unit_test(printing),
		cmocka_unit_test(shrinks_only_when_empty),
	};

	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
