/*
 * url - see url.h.
 */
#include <arpa/inet.h>
#include <strings.h>

#include "common/url.h"

#define HOST_BYTES								\
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

static const struct {
	const char	*plain, *secure, *why;
} schemes[] = {
	[URL_HTTP] = { "http://", "https://", "does not begin with https://" },
	[URL_WS] = { "ws://", "wss://", "does not begin with wss://" },
};

static const char *
after_scheme(const char *text, enum url_scheme scheme, bool *tls_r)
{
	size_t	 plain_n = strlen(schemes[scheme].plain), secure_n = strlen(schemes[scheme].secure);

	*tls_r = strncasecmp(text, schemes[scheme].secure, secure_n) == 0;
	if (*tls_r)
		return text + secure_n;
	return strncasecmp(text, schemes[scheme].plain, plain_n) == 0 ? text + plain_n : NULL;
}

/* Takes the host off the front of *at. */
static bool
take_host(struct span *at, struct url *u)
{
	const char	*end;
	struct in6_addr	 a6;
	struct in_addr	 a4;
	struct span	 host;
	size_t		 used;

	if (at->n > 0 && at->p[0] == '[') {
		end = memchr(at->p, ']', at->n);
		if (end == NULL)
			return false;
		host = span_make(at->p + 1, (size_t)(end - at->p - 1));
		used = host.n + 2;
	} else {
		end = memchr(at->p, ':', at->n);
		host = span_make(at->p, end == NULL ? at->n : (size_t)(end - at->p));
		used = host.n;
	}
	if (host.n == 0 || host.n > URL_HOST_MAX)
		return false;
	(void)span_copy(host, u->host, sizeof(u->host));
	if (used > host.n) {
		u->numeric = true;
		if (inet_pton(AF_INET6, u->host, &a6) != 1)
			return false;
	} else {
		u->numeric = inet_pton(AF_INET, u->host, &a4) == 1;
		if (strspn(u->host, HOST_BYTES) != host.n)
			return false;
	}
	at->p += used;
	at->n -= used;
	return true;
}

const char *
url_parse(const char *text, enum url_scheme scheme, struct url *u)
{
	const char	*from;
	struct span	 at;
	uint64_t	 port;

	memset(u, 0, sizeof(*u));
	from = after_scheme(text, scheme, &u->tls);
	if (from == NULL)
		return schemes[scheme].why;
	for (const char *p = from; *p != '\0'; p++)
		if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
			return "has a space, a control character or a letter outside ASCII";
	at = span_make(from, strcspn(from, "/?#"));
	u->rest = at.p + at.n;
	if (memchr(at.p, '@', at.n) != NULL)
		return "has a user or a password";
	if (!take_host(&at, u))
		return "has no valid host";
	u->port = u->tls ? 443 : 80;
	if (at.n == 0)
		return NULL;
	if (at.p[0] != ':' || !span_u64(span_make(at.p + 1, at.n - 1), &port) || port == 0 ||
	    port > UINT16_MAX)
		return "has no valid port";
	u->port = (uint16_t)port;
	return NULL;
}

bool
url_is_loopback(const char *host)
{
	struct in_addr	 a4;
	struct in6_addr	 a6;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &a4) == 1)
		return ntohl(a4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &a6) == 1 && IN6_IS_ADDR_LOOPBACK(&a6);
}
