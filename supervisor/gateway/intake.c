/*
 * intake - which dispatch of a session counts: each once, in order, none lost for want of room.
 */
#include <assert.h>
#include <string.h>

#include "supervisor/gateway/intake.h"

#define HELD_KEEP_BYTES	(1u << 20)

void
intake_init(struct intake *in, struct gw_identity *ident, const struct gw_ops *ops, void *arg)
{
	memset(in, 0, sizeof(*in));
	in->ident = ident;
	in->ops = ops;
	in->arg = arg;
}

void
intake_fini(struct intake *in)
{
	buf_fini(&in->held);
}

void
intake_forget(struct intake *in)
{
	in->refused.is = in->bad.is = false;
}

void
intake_count(struct intake *in, uint64_t seq)
{
	in->ident->seq = seq;
	in->ops->on_seq(in->arg, seq);
}

enum intake_verdict
intake_offer(struct intake *in, const struct envelope *e, struct span message, bool replayed)
{
	assert(!intake_is_holding(in));
	if (e->s <= in->ident->seq)
		return INTAKE_KNOWN;
	switch (in->ops->on_dispatch(in->arg, e, in->ident->session_id, replayed)) {
	case 0:
		in->ident->seq = e->s;
		return INTAKE_TAKEN;
	case 1:
		buf_add_span(&in->held, message);
		in->held_replayed = replayed;
		return INTAKE_HELD;
	}
	if (in->refused.is && in->refused.seq == e->s) {
		intake_count(in, e->s);
		return INTAKE_PASSED;
	}
	in->refused.is = true;
	in->refused.seq = e->s;
	return INTAKE_REFUSED;
}

bool
intake_bad(struct intake *in)
{
	bool	 again = in->bad.is && in->bad.seq == in->ident->seq;

	in->bad.is = true;
	in->bad.seq = in->ident->seq;
	return again;
}

bool
intake_is_holding(const struct intake *in)
{
	return in->held.n > 0;
}

bool
intake_take_up(struct intake *in)
{
	struct envelope	 e;

	if (!intake_is_holding(in))
		return false;
	(void)envelope_scan(buf_span(&in->held), &e);	/* it was good the first time */
	if (in->ops->on_dispatch(in->arg, &e, in->ident->session_id, in->held_replayed) == 1)
		return false;
	in->ident->seq = e.s;
	(void)intake_drop_held(in);
	return true;
}

size_t
intake_drop_held(struct intake *in)
{
	size_t	 n = in->held.n;

	buf_reset(&in->held);
	buf_shrink(&in->held, HELD_KEEP_BYTES);
	return n;
}
