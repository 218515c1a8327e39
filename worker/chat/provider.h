/*
 * provider - what the servers of chat completions differ in, as data.
 *
 * Pure.  Rows are constant and outlive every caller.
 * Source: proto/providers.def.
 */
#ifndef WORKER_CHAT_PROVIDER_H
#define WORKER_CHAT_PROVIDER_H

#include "common/span.h"

enum provider_auth { PROVIDER_BEARER, PROVIDER_APIKEY };
enum provider_token { PROVIDER_MAX_TOKENS, PROVIDER_MAX_COMPLETION_TOKENS };
enum provider_images { PROVIDER_ANY, PROVIDER_DATA, PROVIDER_NONE };
enum provider_echo { PROVIDER_NEVER, PROVIDER_TOOLS, PROVIDER_ALWAYS };

struct provider {
	const char		*name;
	const char		*hosts;			/* names between blanks */
	uint16_t		 port;			/* 0: none */
	bool			 local;
	enum provider_auth	 auth;
	enum provider_token	 token_param;
	enum provider_images	 images;
	bool			 named, usage;
	enum provider_echo	 echo;
	bool			 ids9, ordered;
	const char		*forbidden;		/* fields between blanks */
	const char		*thinkers, *thinkers_forbid;
};

/* All rows; the last is for servers that no other row means. */
const struct provider	*provider_rows(size_t *n_r);
/* NULL: no such row. */
const struct provider	*provider_named(const char *name);
/* The row that the host or, failing that, the port of base_url means.  Never NULL. */
const struct provider	*provider_of(const char *base_url);
/* May this field go to this model? */
bool			 provider_takes(const struct provider *, const char *model,
			    const char *field);
/* Does the list of names between blanks have this one? */
bool			 provider_lists(const char *list, struct span name);

#endif
