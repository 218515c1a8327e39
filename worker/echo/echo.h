/*
 * echo - the ten-line example: answers !ping with pong, !ping 17 with pong 17.
 */
#ifndef WORKER_ECHO_H
#define WORKER_ECHO_H

#include "worker/runtime/task.h"

extern const struct handler	 echo_handler;

#endif
