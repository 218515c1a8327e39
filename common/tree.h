/*
 * tree - <sys/tree.h> as every file here uses it: red-black trees, static, ordered by numbers.
 */
#ifndef COMMON_TREE_H
#define COMMON_TREE_H

#include <sys/tree.h>

#include <stddef.h>

/* For comparing functions: less than, equal to, greater than 0, without the overflow of a - b. */
#define TREE_CMP(a, b)	((a) < (b) ? -1 : (a) > (b))

/* It makes all functions of a tree, and nobody uses each of them. */
#define TREE_GENERATE(name, type, field, cmp)					\
	RB_GENERATE_INTERNAL(name, type, field, cmp, static __attribute__((__unused__)))

#endif
