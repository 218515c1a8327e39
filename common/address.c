/*
 * address - see address.h.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include <event2/util.h>
#include "common/address.h"

bool
address_parse(const char *text, struct address *out)
{
	int	 n = sizeof(out->sa);

	memset(out, 0, sizeof(*out));
	if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&out->sa, &n) == -1)
		return false;
	out->n = (socklen_t)n;
	if (out->sa.ss_family == AF_INET) {
		const struct sockaddr_in	*in = (const void *)&out->sa;

		out->loopback = ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
		return in->sin_port != 0;
	}
	if (out->sa.ss_family == AF_INET6) {
		const struct sockaddr_in6	*in6 = (const void *)&out->sa;

		out->loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
		return in6->sin6_port != 0;
	}
	return false;
}
