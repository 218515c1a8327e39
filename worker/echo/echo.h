/*
 * echo - the ten-line example: answers !ping with pong.
 */
#ifndef WORKER_ECHO_H
#define WORKER_ECHO_H

#include "worker/runtime/task.h"

extern const struct handler	 echo_handler;

#endif
