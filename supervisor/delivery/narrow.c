/*
 * narrow - the events that a pool's workers name in READY.  See queue.h.
 */
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "supervisor/delivery/state.h"

/* What the pool would get: of what is configured what the list names; an empty one names all. */
static bool *
wanted_by(const struct qpool *p, struct msg_list events, const char *tag)
{
	struct msg_list_iter	 it = { events.raw, 0 };
	const struct event_row	*rows, *row;
	bool			*wants, all = !msg_list_more(&it);
	struct span		 name;
	size_t			 n;

	rows = table_events(&n);
	wants = mem_array(n, sizeof(*wants));
	for (size_t i = 0; i < n; i++)
		wants[i] = all && p->configured[i];
	while (msg_list_more(&it) && msg_list_next_str(&it, &name)) {
		row = table_event(name);
		if (row != NULL && p->configured[row - rows])
			wants[row - rows] = true;
		else
			log_notice("%s names %.*s, which the events of pool %s do not", tag,
			    (int)name.n, name.p, p->name);
	}
	return wants;
}

static void
log_wants(const struct qpool *p, const char *tag)
{
	const struct event_row	*rows;
	struct buf		 b = { 0 };
	size_t			 n;

	rows = table_events(&n);
	for (size_t i = 0; i < n; i++)
		if (p->wants[i])
			buf_printf(&b, " %s", rows[i].name);
	log_notice("%s decides what pool %s gets:%.*s", tag, p->name, (int)b.n,
	    b.n == 0 ? "" : buf_span(&b).p);
	buf_fini(&b);
}

void
queue_pool_narrow(struct qpool *p, struct msg_list events, const char *tag)
{
	bool	*wants = wanted_by(p, events, tag);
	size_t	 n;

	(void)table_events(&n);
	if (memcmp(wants, p->wants, n * sizeof(*wants)) != 0) {
		if (p->live_n > 0)
			log_warnx("%s wants other events than the workers before it", tag);
		memcpy(p->wants, wants, n * sizeof(*wants));
		log_wants(p, tag);
	}
	free(wants);
}
