/*
 * tables - see tables.h.
 */
#include "common/tables.h"

/* The words of the tables. */
enum { SERIAL = 0, OPEN = 1 };
enum { IDENTITY_OBJECT = 1, IDENTITY_SEQ = 0 };
enum { ORDER_WORK = 0, ORDER_CONTROL = 1, ORDER_INTERACTION = 2 };
enum { AT_BOUND_SHED = 1, AT_BOUND_KEEP = 0 };
enum {
#define INTENT(name, bit, privileged) INTENT_##name = 1 << bit,
#include "proto/intents.def"
#undef INTENT
};

static const struct role_row roles[] = {
#define ROLE(name, order, credit, service, events, help)			\
	{ #name, order, credit, events },
#include "proto/roles.def"
#undef ROLE
};
#define ROLES_N		(sizeof(roles) / sizeof(roles[0]))

static const struct intent_row intents[] = {
#define INTENT(name, bit, privileged) { #name, INTENT_##name, privileged },
#include "proto/intents.def"
#undef INTENT
};
#define INTENTS_N	(sizeof(intents) / sizeof(intents[0]))

static const struct event_row events[] = {
#define EVENT(name, bits, key, identity, order, shed)				\
	{ #name, (uint64_t)(bits), EVENT_KEY_##key, IDENTITY_##identity,	\
	  ORDER_##order != ORDER_WORK, ORDER_##order == ORDER_INTERACTION,		\
	  AT_BOUND_##shed },
#include "proto/events.def"
#undef EVENT
};
#define EVENTS_N	(sizeof(events) / sizeof(events[0]))

const struct role_row *
table_roles(size_t *n_r)
{
	*n_r = ROLES_N;
	return roles;
}

const struct intent_row *
table_intents(size_t *n_r)
{
	*n_r = INTENTS_N;
	return intents;
}

const struct event_row *
table_events(size_t *n_r)
{
	*n_r = EVENTS_N;
	return events;
}

const struct role_row *
table_role(const char *name)
{
	for (size_t i = 0; i < ROLES_N; i++)
		if (strcmp(roles[i].name, name) == 0)
			return &roles[i];
	return NULL;
}

const struct event_row *
table_event(struct span name)
{
	for (size_t i = 0; i < EVENTS_N; i++)
		if (span_is(name, events[i].name))
			return &events[i];
	return NULL;
}

const char *
error_name(uint64_t error)
{
	switch (error) {
#define ERR(name, number, text) case number: return #name;
#include "proto/errors.def"
#undef ERR
	default:
		return "EUNKNOWN";
	}
}

const char *
error_text(uint64_t error)
{
	switch (error) {
#define ERR(name, number, text) case number: return text;
#include "proto/errors.def"
#undef ERR
	default:
		return "an error that this version does not know";
	}
}
