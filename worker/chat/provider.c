/*
 * provider - see provider.h.
 */
#include <strings.h>

#include "common/url.h"
#include "worker/chat/provider.h"

static const struct provider	 rows[] = {
#define PROVIDER(name, hosts, port, local, auth, token, images, named, usage, echo, ids9, ordered, \
    forbidden, thinkers, thinkers_forbid) \
	{ #name, hosts, port, local, PROVIDER_##auth, PROVIDER_##token, PROVIDER_##images, named, \
	    usage, PROVIDER_##echo, ids9, ordered, forbidden, thinkers, thinkers_forbid },
#include "proto/providers.def"
#undef PROVIDER
};

#define ROWS_N	(sizeof(rows) / sizeof(rows[0]))

/* The first word of list that fits; arg is what the words are compared with. */
static bool
any_word(const char *list, bool (*fits)(struct span word, struct span arg), struct span arg)
{
	size_t	 n;

	for (; *list != '\0'; list += n) {
		list += strspn(list, " ");
		n = strcspn(list, " ");
		if (n > 0 && fits(span_make(list, n), arg))
			return true;
	}
	return false;
}

static bool
is_host(struct span word, struct span host)
{
	if (word.p[0] != '.')
		return word.n == host.n && strncasecmp(word.p, host.p, host.n) == 0;
	return host.n > word.n && strncasecmp(word.p, host.p + host.n - word.n, word.n) == 0;
}

static bool
begins(struct span word, struct span name)
{
	const char	*slash = name.n == 0 ? NULL : memrchr(name.p, '/', name.n);

	/* "openai/gpt-5" is how routers call it. */
	if (slash != NULL)
		name = span_make(slash + 1, (size_t)(name.p + name.n - slash - 1));
	return name.n >= word.n && memcmp(word.p, name.p, word.n) == 0;
}

const struct provider *
provider_rows(size_t *n_r)
{
	*n_r = ROWS_N;
	return rows;
}

const struct provider *
provider_named(const char *name)
{
	for (size_t i = 0; i < ROWS_N; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

const struct provider *
provider_of(const char *base_url)
{
	struct url	 u;

	if (url_parse(base_url, URL_HTTP, &u) != NULL)
		return &rows[ROWS_N - 1];
	for (size_t i = 0; i < ROWS_N; i++)
		if (any_word(rows[i].hosts, is_host, span_of(u.host)))
			return &rows[i];
	for (size_t i = 0; i < ROWS_N; i++)
		if (rows[i].port != 0 && rows[i].port == u.port)
			return &rows[i];
	return &rows[ROWS_N - 1];
}

bool
provider_lists(const char *list, struct span name)
{
	return any_word(list, span_eq, name);
}

bool
provider_takes(const struct provider *p, const char *model, const char *field)
{
	if (provider_lists(p->forbidden, span_of(field)))
		return false;
	return !any_word(p->thinkers, begins, span_of(model)) ||
	    !provider_lists(p->thinkers_forbid, span_of(field));
}
