/*
 * mem - allocation that cannot fail, and a growing byte buffer.
 *
 * Out of memory ends the process: everything here is bounded elsewhere, so it is
 * a fault of the machine, and a supervisor that is restarted loses nothing.
 */
#ifndef COMMON_MEM_H
#define COMMON_MEM_H

#include <stddef.h>
#include "common/span.h"

void	*mem_alloc(size_t bytes);			/* zeroed */
void	*mem_array(size_t n, size_t each_bytes);	/* zeroed, overflow checked */
void	*mem_grow(void *, size_t n, size_t each_bytes);
char	*mem_strdup(const char *);			/* NULL stays NULL */
char	*mem_spandup(struct span);			/* NUL-terminated */
char	*mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	 mem_wipe_free(char **);			/* explicit_bzero, free, NULL */

/* Owned bytes [p + off, p + off + n).  Zeroed is valid and empty. */
struct buf {
	char	*p;
	size_t	 off;	/* consumed at the front */
	size_t	 n;	/* bytes that count */
	size_t	 cap;
};

void	 buf_fini(struct buf *);
void	 buf_reset(struct buf *);			/* keeps the memory */
/* Gives memory back when empty and larger. */
void	 buf_shrink(struct buf *, size_t keep_bytes);
/* Pointer to room at the end; see buf_added. */
char	*buf_room(struct buf *, size_t bytes);
void	 buf_added(struct buf *, size_t bytes);
void	 buf_add(struct buf *, const void *, size_t);
void	 buf_add_span(struct buf *, struct span);
void	 buf_printf(struct buf *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void	 buf_drop(struct buf *, size_t bytes);		/* from the front */
struct span buf_span(const struct buf *);		/* borrowed until the next change */

#endif
