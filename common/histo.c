/*
 * histo - see histo.h.
 *
 * Values below 8 have a bin each; above, a power of two is cut into four.
 */
#include "common/histo.h"

#define ALONE		8

static unsigned
bin_of(uint64_t v)
{
	unsigned	 log2, bin;

	if (v < ALONE)
		return (unsigned)v;
	log2 = 63 - (unsigned)__builtin_clzll(v);
	bin = ALONE + (log2 - 3) * 4 + (unsigned)(v >> (log2 - 2) & 3);
	return bin < HISTO_BINS ? bin : HISTO_BINS - 1;
}

/* The largest value of a bin. */
static uint64_t
bin_end(unsigned bin)
{
	unsigned	 log2;

	if (bin < ALONE)
		return bin;
	log2 = 3 + (bin - ALONE) / 4;
	return (UINT64_C(1) << log2) + (UINT64_C(1) << (log2 - 2)) * ((bin - ALONE) % 4 + 1) - 1;
}

void
histo_add(struct histo *h, uint64_t v)
{
	h->n++;
	if (v > h->max)
		h->max = v;
	h->bins[bin_of(v)]++;
}

uint64_t
histo_quantile(const struct histo *h, unsigned permille)
{
	uint64_t	 seen = 0, end;

	if (h->n == 0)
		return 0;
	for (unsigned i = 0; i < HISTO_BINS; i++) {
		seen += h->bins[i];
		if (seen * 1000 < h->n * permille || seen == 0)
			continue;
		end = bin_end(i);
		return end < h->max && i < HISTO_BINS - 1 ? end : h->max;
	}
	return h->max;
}
