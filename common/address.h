/*
 * address - a numeric address and a port: "127.0.0.1:9464", "[::1]:9464".
 *
 * Pure: no name is resolved.
 */
#ifndef COMMON_ADDRESS_H
#define COMMON_ADDRESS_H

#include <sys/socket.h>
#include <stdbool.h>

struct address {
	struct sockaddr_storage	 sa;
	socklen_t		 n;
	bool			 loopback;	/* nobody else's machine can reach it */
};

/* False: it is none; out is not to be looked at. */
bool	 address_parse(const char *text, struct address *out);

#endif
