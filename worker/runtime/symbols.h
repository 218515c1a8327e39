/*
 * symbols - names for addresses in this program, static functions too.
 *
 * The C library's backtrace knows exported names only.  The program's own symbol table, which is
 * there unless it was stripped, is mapped at the start; a look-up then reads memory and nothing else,
 * so that a signal handler may do it.
 *
 * Source: elf(5).
 */
#ifndef WORKER_SYMBOLS_H
#define WORKER_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

/* Of /proc/self/exe.  What it cannot read it goes without. */
void		 symbols_init(void);
/* The function that holds it, and how far into it; NULL: not of this program, or not known. */
const char	*symbols_find(const void *address, size_t *offset_r);

#endif
