/*
 * recite - the streaming example: `!stream N [R]` is answered with a reply that grows by R words a
 * second, 20 when R is not given, until it has N of them.
 */
#ifndef WORKER_RECITE_H
#define WORKER_RECITE_H

#include "worker/runtime/task.h"

/* False: this is no such command. */
bool	 recite(struct scope *, uint64_t channel, uint64_t message, const char *content);

#endif
