/*
 * limitstate: whatever the bytes, no crash; what is refused changes nothing, what is taken can be
 * told again and is accepted.
 */
#include "common/mem.h"
#include "tests/fuzz/fuzz.h"
#include "worker/rest/limit.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct mono	 now = { 100000000000 };
	struct limit		*l = limit_new(50);
	struct limit_ticket	 t = { .route = 1, .major = 7, .authorized = true };
	struct buf		 again = { 0 };
	struct mono		 until;
	const char		*why;

	if (limit_hear(l, span_make(data, n), now, &why) == -1) {
		CHECK(why != NULL && limit_buckets_n(l) == 0 && !limit_locked(l));
		CHECK(limit_ask(l, &t, now, &until) == LIMIT_GO);
	} else {
		if (limit_ask(l, &t, now, &until) == LIMIT_GO) {
			limit_sent(l, &t, now);
			limit_lost(l, &t, now);
		}
		limit_tell_all(l, &again, now);
		CHECK(again.n <= LIMIT_STATE_ALL_MAX);
		CHECK(limit_hear(l, buf_span(&again), now, &why) == 0);
	}
	buf_fini(&again);
	limit_free(&l);
	return 0;
}
