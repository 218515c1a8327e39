/*
 * option - what HELLO says of the configuration: rows of a name and a value.
 *
 * Pure.  Source: supervisor/pool/hello.c, which writes them.
 */
#ifndef WORKER_OPTION_H
#define WORKER_OPTION_H

#include "common/msg.h"

/* NULL when there is none or it is empty; the caller frees it. */
char		*option_text(const struct msg_HELLO *, const char *name);
/* fallback when there is none, or it is no number. */
uint64_t	 option_u64(const struct msg_HELLO *, const char *name, uint64_t fallback);
/*
 * The next value of a list, whose name stands once for each of its words; empty ones are passed.
 *	it	starts as { h->options.raw, 0 }
 *	word_r	borrowed from HELLO
 */
bool		 option_next(struct msg_list_iter *it, const char *name, struct span *word_r);

#endif
