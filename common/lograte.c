/*
 * lograte - see lograte.h.
 */
#include "common/lograte.h"

static struct lograte_place *
place_of(struct lograte *r, uint64_t key)
{
	/* Formats lie 16 bytes apart and more. */
	return &r->places[(key * 0x9e3779b97f4a7c15u >> 32) % LOGRATE_PLACES];
}

bool
lograte_may(struct lograte *r, uint64_t key, uint64_t now_ms)
{
	struct lograte_place	*p = place_of(r, key);

	/* A window with a count that is due stays until it was told. */
	if (now_ms - p->since_ms >= LOGRATE_WINDOW_MS && p->left_out == 0) {
		p->since_ms = now_ms;
		p->said = 0;
	}
	if (p->said < LOGRATE_LINES) {
		p->key = key;
		p->said++;
		return true;
	}
	p->left_out++;
	return false;
}

uint64_t
lograte_due(struct lograte *r, uint64_t now_ms, uint64_t *key_r)
{
	struct lograte_place	*p = &r->places[r->hand];
	uint64_t		 n = p->left_out;

	r->hand = (r->hand + 1) % LOGRATE_PLACES;
	if (n == 0 || now_ms - p->since_ms < LOGRATE_WINDOW_MS)
		return 0;
	*key_r = p->key;
	p->left_out = 0;
	p->said = 0;
	p->since_ms = now_ms;
	return n;
}
