/* lines: what comes in any portions goes out line by line, in pieces, and no cut shows a secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "supervisor/pool/lines.h"

#define SECRET	"swordfish-0123456789.abcdefghijklmnopqrstuvwxyz"

static struct lines	 l;
static char		 said[256 << 10];
static size_t		 said_n, pieces;

static void
say(void *arg, struct span piece)
{
	assert_ptr_equal(arg, &l);
	assert_in_range(piece.n, 1, LINES_PIECE);
	assert_true(said_n + piece.n + 1 < sizeof(said));
	memcpy(said + said_n, piece.p, piece.n);
	said_n += piece.n;
	said[said_n++] = '|';
	said[said_n] = '\0';
	pieces++;
}

static int
setup(void **state)
{
	(void)state;
	memset(&l, 0, sizeof(l));
	said_n = pieces = 0;
	said[0] = '\0';
	return 0;
}

static void
add(const char *p, size_t n, size_t portion)
{
	for (size_t at = 0; at < n; at += portion)
		lines_add(&l, p + at, n - at < portion ? n - at : portion, say, &l);
}

static void
by_lines(void **state)
{
	static const char	 in[] = "one\ntwo\r\n\n\r\nthr\ree\nrest";

	for (size_t portion = 1; portion < sizeof(in); portion++) {
		setup(state);
		add(in, sizeof(in) - 1, portion);
		assert_string_equal(said, "one|two|thr\ree|");
		lines_end(&l, say, &l);
		assert_string_equal(said, "one|two|thr\ree|rest|");
		lines_end(&l, say, &l);
		assert_int_equal(pieces, 4);
	}
}

/* In pieces, and none of them waits for more than LINES_AHEAD bytes behind it. */
static void
long_lines(void **state)
{
	static char	 in[20 * LINES_BYTES];

	(void)state;
	memset(in, 'x', sizeof(in));
	add(in, sizeof(in), 777);
	assert_true(sizeof(in) - (said_n - pieces) <= LINES_BYTES);
	add("\ny\n", 3, 3);
	assert_int_equal(said_n - pieces, sizeof(in) + 1);
	assert_int_equal(pieces, (sizeof(in) + LINES_PIECE - 1) / LINES_PIECE + 1);
}

/* It was logged in two halves when it lay across a cut: nothing matched either of them. */
static void
secret_across_a_cut(void **state)
{
	static const size_t	 at[] = { 0, LINES_PIECE, 2 * LINES_PIECE, LINES_BYTES, LINES_BYTES + LINES_PIECE,
		2 * LINES_BYTES, 5 * LINES_PIECE };
	static char		 in[4 * LINES_BYTES];
	size_t			 n = strlen(SECRET);

	secret_add(SECRET);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		for (size_t before = 0; before <= n; before++) {
			if (before > at[i])
				break;
			setup(state);
			memset(in, '-', sizeof(in));
			memcpy(in + at[i] - before, SECRET, n);
			add(in, sizeof(in), i % 2 == 0 ? sizeof(in) : 1000);
			lines_end(&l, say, &l);
			assert_int_equal(said_n - pieces, sizeof(in));
			for (size_t k = 0; k < said_n; k++)
				assert_true(said[k] == '-' || said[k] == '*' || said[k] == '|');
		}
	}
	secret_forget();
}

/* The longest that is promised, one byte into the next piece, at every end of the buffer. */
static void
longest(void **state)
{
	static char	 secret[SECRET_LONGEST + 1], in[8 * LINES_BYTES];

	(void)state;
	memset(secret, 's', SECRET_LONGEST);
	secret_add(secret);
	memset(in, '-', sizeof(in));
	memcpy(in + LINES_PIECE - 1, secret, SECRET_LONGEST);
	memcpy(in + 3 * LINES_BYTES - 1, secret, SECRET_LONGEST);
	add(in, sizeof(in), 4096);
	lines_end(&l, say, &l);
	assert_null(strchr(said, 's'));
	assert_int_equal(said_n - pieces, sizeof(in));
	secret_forget();
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test_setup(by_lines, setup),
		cmocka_unit_test_setup(long_lines, setup),
		cmocka_unit_test_setup(secret_across_a_cut, setup),
		cmocka_unit_test_setup(longest, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
