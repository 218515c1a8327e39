/*
 * secret - the one place where secrets are masked.
 *
 * A process names those that it holds; whatever goes out as text for people (each line of the log,
 * what workers print, answers on the control socket) passes secret_mask on its way.  Nothing should
 * contain one; this is for the day when something does.
 */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#define SECRET_MIN	8	/* bytes; what is shorter stands in too many words to be masked */
#define SECRET_LONGEST	4096	/* of a longer one a part may be left where a text is cut */
#define SECRETS_MAX	256	/* those named first stay */

/* Copied, once; NULL and what is too short are ignored. */
void	 secret_add(const char *);
/* Each byte of each secret in text becomes an asterisk.  True when there was one. */
bool	 secret_mask(char *text, size_t n);
/* Wipes them: at the end of the program. */
void	 secret_forget(void);

#endif
