/*
 * url - where a URL leads: host, port, TLS.
 *
 * Pure.  Stricter than RFC 3986: what Discord gives and a configuration needs, and nothing that two
 * parsers could read in two ways (users, escapes in the host, control characters).
 */
#ifndef COMMON_URL_H
#define COMMON_URL_H

#include "common/span.h"

#define URL_HOST_MAX	253		/* bytes; RFC 1035 */

enum url_scheme { URL_HTTP, URL_WS };

struct url {
	bool		 tls;		/* https, wss */
	bool		 numeric;	/* host is an address */
	char		 host[URL_HOST_MAX + 1];	/* without brackets */
	uint16_t	 port;
	const char	*rest;		/* path, query, fragment; in text */
};

/* NULL, or what is wrong with it, to follow the name of what was given: "has no valid port". */
const char	*url_parse(const char *text, enum url_scheme scheme, struct url *u);
/* localhost, or an address of the loopback interface: where plain text may go. */
bool		 url_is_loopback(const char *host);

#endif
