/*
 * tables - rows of the tables in proto/ for those who look them up by name or number.
 *
 * Pure.  Rows are constant and outlive every caller.
 * Source: proto/roles.def, events.def, intents.def, errors.def, lanes.def.
 */
#ifndef COMMON_TABLES_H
#define COMMON_TABLES_H

#include "common/span.h"

enum error {				/* what RESULT.error says */
#define ERR(name, number, text) ERR_##name = number,
#include "proto/errors.def"
#undef ERR
};

enum lane {				/* most urgent first */
#define LANE(name, number, help) LANE_##name = number,
#include "proto/lanes.def"
#undef LANE
	LANE__N
};

struct role_row {
	const char	*name;
	/* the role keeps turns; else a key's next waits for its last */
	bool		 open;
	uint64_t	 credit;	/* default of the pool option, deliveries */
	const char	*events;	/* default of the pool option, names between spaces */
};

struct intent_row {
	const char	*name;
	uint64_t	 bits;		/* exactly one is set */
	bool		 privileged;	/* a person has to switch it on for the bot */
};

enum event_key { EVENT_KEY_CHANNEL, EVENT_KEY_GUILD, EVENT_KEY_USER, EVENT_KEY_SELF };

struct event_row {
	const char	*name;
	uint64_t	 intents;	/* bits; 0: comes without asking */
	enum event_key	 key;
	bool		 object;	/* identity by object, else by session and seq */
	bool		 control;	/* overtakes the key's mailbox */
	bool		 interaction;	/* a control event that somebody waits for: ahead of the others */
	bool		 shed;		/* may be dropped at a bound */
};

/* All rows, in the order of the table. */
const struct role_row	*table_roles(size_t *n_r);
const struct intent_row	*table_intents(size_t *n_r);
const struct event_row	*table_events(size_t *n_r);

/* The row of that name, NULL when there is none. */
const struct role_row	*table_role(const char *name);
const struct event_row	*table_event(struct span name);

/* "EDEADLINE" and its sentence.  Never NULL: the number may come from another version. */
const char		*error_name(uint64_t error);
const char		*error_text(uint64_t error);

#endif
