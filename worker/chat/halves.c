/*
 * halves - see halves.h.
 */
#include <ctype.h>
#include <string.h>

#include "worker/chat/halves.h"

/* Where they are hidden: a place for each of 0x800, the last of the last private plane. */
#define HALF_BASE	0x10f800u
#define HALVES_N	0x800u
#define SURROGATES	0xd800u

static int
hex4(const char *p)
{
	int	 v = 0;

	for (int i = 0; i < 4; i++) {
		if (!isxdigit((unsigned char)p[i]))
			return -1;
		v = v * 16 + (isdigit((unsigned char)p[i]) ? p[i] - '0' : (p[i] | 32) - 'a' + 10);
	}
	return v;
}

/* The escape \uXXXX at p, -1 when there is none. */
static int
escape_at(struct span in, size_t i)
{
	return in.n - i >= 6 && in.p[i] == '\\' && in.p[i + 1] == 'u' ? hex4(in.p + i + 2) : -1;
}

static bool
is_high(int v)
{
	return v >= 0xd800 && v <= 0xdbff;
}

static bool
is_low(int v)
{
	return v >= 0xdc00 && v <= 0xdfff;
}

struct span
halves_hide(struct halves *h, struct span in)
{
	size_t	 from = 0, step;

	h->hidden = false;
	if (memmem(in.p, in.n, "\\u", 2) == NULL)
		return in;
	buf_reset(&h->mended);
	for (size_t i = 0; i < in.n; i += step) {
		int	 v = escape_at(in, i);

		step = in.p[i] == '\\' ? 2 : 1;
		if (is_high(v) && in.n - i >= 12 && is_low(escape_at(in, i + 6)))
			step = 12;
		else if (is_high(v) || is_low(v)) {
			unsigned	 cp = HALF_BASE + (unsigned)v - SURROGATES - 0x10000;

			buf_add(&h->mended, in.p + from, i - from);
			buf_printf(&h->mended, "\\u%04x\\u%04x", 0xd800 + (cp >> 10),
			    0xdc00 + (cp & 0x3ff));
			h->hidden = true;
			from = i + (step = 6);
		}
	}
	if (!h->hidden)
		return in;
	buf_add(&h->mended, in.p + from, in.n - from);
	return buf_span(&h->mended);
}

static void
add_code_point(struct buf *out, unsigned cp)
{
	if (cp >= 0x10000)
		buf_printf(out, "%c%c%c%c", (char)(0xf0 | cp >> 18),
		    (char)(0x80 | (cp >> 12 & 0x3f)), (char)(0x80 | (cp >> 6 & 0x3f)),
		    (char)(0x80 | (cp & 0x3f)));
	else
		buf_printf(out, "%c%c%c", (char)(0xe0 | cp >> 12), (char)(0x80 | (cp >> 6 & 0x3f)),
		    (char)(0x80 | (cp & 0x3f)));
}

/* The hidden half at p, 0 when there is none. */
static unsigned
half_at(struct span in, size_t i)
{
	const unsigned char	*p = (const unsigned char *)in.p + i;
	unsigned		 cp;

	if (in.n - i < 4 || p[0] != 0xf4)
		return 0;
	cp = (p[0] & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
	return cp >= HALF_BASE && cp < HALF_BASE + HALVES_N ? cp - HALF_BASE + SURROGATES : 0;
}

/* Its other half did not come. */
static void
give_up(struct halves *h)
{
	if (h->waiting != 0)
		add_code_point(&h->plain, 0xfffd);
	h->waiting = 0;
}

struct span
halves_join(struct halves *h, struct span in)
{
	if (!h->hidden && h->waiting == 0 && memchr(in.p, '\0', in.n) == NULL)
		return in;
	buf_reset(&h->plain);
	for (size_t i = 0; i < in.n; i++) {
		unsigned	 half = h->hidden ? half_at(in, i) : 0;

		if (half != 0)
			i += 3;
		if (is_low((int)half) && h->waiting != 0) {
			add_code_point(&h->plain,
			    0x10000 + ((h->waiting - 0xd800) << 10) + (half - 0xdc00));
			h->waiting = 0;
			continue;
		}
		give_up(h);
		if (is_high((int)half))
			h->waiting = half;
		else if (half != 0)
			add_code_point(&h->plain, 0xfffd);
		else if (in.p[i] != '\0')
			buf_add(&h->plain, in.p + i, 1);
	}
	return buf_span(&h->plain);
}

struct span
halves_join_alone(struct halves *h, struct span in)
{
	unsigned	 waiting = h->waiting;

	h->waiting = 0;
	in = halves_join(h, in);
	h->waiting = waiting;
	return in;
}

struct span
halves_end(struct halves *h)
{
	buf_reset(&h->plain);
	give_up(h);
	return buf_span(&h->plain);
}

void
halves_fini(struct halves *h)
{
	buf_fini(&h->mended);
	buf_fini(&h->plain);
}
