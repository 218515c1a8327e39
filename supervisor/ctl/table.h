/*
 * table - text for people in columns, and nothing in it that talks to the terminal.  Private to ctl/.
 */
#ifndef SUPERVISOR_CTL_TABLE_H
#define SUPERVISOR_CTL_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "supervisor/ctl/output.h"

#define BOLD	"\033[1m"
#define RED	"\033[31m"
#define GREEN	"\033[32m"
#define YELLOW	"\033[33m"
#define PLAIN	"\033[0m"

struct cell;

struct table {
	const char	*const *heads;	/* before the name: > to the right, ? may be left out */
	size_t		 columns;	/* at most 12 */
	struct cell	*cells;
	size_t		 rows;
};

void	 table_init(struct table *, const char *const *heads, size_t columns);
/* Another row; put fills a cell of it. */
void	 row(struct table *);
void	 put(struct table *, size_t column, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
void	 tint(struct table *, size_t column, const char *color);	/* of a cell of that row */
void	 put_ms(struct table *, size_t column, uint64_t ms);	/* as a duration */
/* Prints and forgets the rows. */
void	 table_print(FILE *, struct table *, const struct look *);

/* Control bytes become '?', but for those in keep.  s NULL: "-". */
void	 print_clean(FILE *, const char *s, const char *keep);

#endif
