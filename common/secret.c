/*
 * secret - see secret.h.
 */
#include <string.h>

#include "common/mem.h"
#include "common/secret.h"

static struct {
	char	*v[SECRETS_MAX];
	size_t	 n;
} kept;

void
secret_add(const char *s)
{
	if (s == NULL || strlen(s) < SECRET_MIN || kept.n == SECRETS_MAX)
		return;
	for (size_t i = 0; i < kept.n; i++)
		if (strcmp(kept.v[i], s) == 0)
			return;
	kept.v[kept.n++] = mem_strdup(s);
}

bool
secret_mask(char *text, size_t n)
{
	bool	 found = false;

	for (size_t i = 0; i < kept.n; i++) {
		size_t	 len = strlen(kept.v[i]);
		char	*at = text, *hit;

		while ((hit = memmem(at, n - (size_t)(at - text), kept.v[i], len)) != NULL) {
			memset(hit, '*', len);
			at = hit + len;
			found = true;
		}
	}
	return found;
}

void
secret_forget(void)
{
	while (kept.n > 0)
		mem_wipe_free(&kept.v[--kept.n]);
}
