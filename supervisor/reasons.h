/*
 * reasons - the lines of proto/reasons.def as because_ID, for printf.
 *
 * Constant arrays, not pointers: the compiler checks the arguments against them.
 */
#ifndef SUPERVISOR_REASONS_H
#define SUPERVISOR_REASONS_H

#define REASON(id, line, means, act)						\
static const char because_##id[] __attribute__((unused)) = line;
#include "proto/reasons.def"
#undef REASON

#endif
