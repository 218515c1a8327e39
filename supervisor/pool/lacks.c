/*
 * lacks - see lacks.h.
 */
#include "supervisor/pool/lacks.h"

#define LANDLOCK_FILES		2	/* fence.c uses it from here on */
#define LANDLOCK_SIGNALS	6

size_t
lacks(const struct lacks_of *l, const char *out[LACKS_MAX])
{
	size_t	 n = 0;

	if (l->root)
		out[n++] = "it is root, who may do most of what a fence does not name: set handler_user";
	if (l->landlock < LANDLOCK_FILES && !l->own_user)
		out[n++] = "no Landlock (Linux 5.19): the supervisor's files, token and journal among them,"
		    " are open to its user: set handler_user";
	if (l->landlock < LANDLOCK_SIGNALS)
		out[n++] = l->own_user ?
		    "before Linux 6.12 it may end other handlers, which have the same user" :
		    "before Linux 6.12 it may end other workers, which have the same user: set handler_user";
	if (!l->counted)
		out[n++] = "it may start any number of processes: set handler_user, or delegate a control"
		    " group with pids";
	return n;
}
