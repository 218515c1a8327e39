/*
 * url_parse: whatever it accepts has a host that is only a host, and says the same when it is
 * written out and read again.
 */
#include <string.h>

#include "common/mem.h"
#include "common/url.h"
#include "tests/fuzz/fuzz.h"

static void
accepted(const struct url *u, enum url_scheme scheme)
{
	static const char *const	 schemes[2][2] = { { "http", "https" }, { "ws", "wss" } };
	struct url			 again;
	bool				 six = strchr(u->host, ':') != NULL;
	char				*text;

	CHECK(u->host[0] != '\0' && strlen(u->host) <= URL_HOST_MAX && u->port != 0);
	CHECK(u->host[strcspn(u->host, "/?#@[]% \r\n")] == '\0');
	CHECK(u->rest[0] == '\0' || strchr("/?#", u->rest[0]) != NULL);
	text = mem_printf("%s://%s%s%s:%u%s", schemes[scheme][u->tls], six ? "[" : "", u->host,
	    six ? "]" : "", u->port, u->rest);
	CHECK(url_parse(text, scheme, &again) == NULL);
	CHECK(strcmp(again.host, u->host) == 0 && again.port == u->port && again.tls == u->tls &&
	    again.numeric == u->numeric && strcmp(again.rest, u->rest) == 0);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char		*text = mem_spandup(span_make(data, n));
	struct url	 u;

	for (int scheme = URL_HTTP; scheme <= URL_WS; scheme++)
		if (url_parse(text, (enum url_scheme)scheme, &u) == NULL)
			accepted(&u, (enum url_scheme)scheme);
	(void)url_is_loopback(text);
	free(text);
	return 0;
}
