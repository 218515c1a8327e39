/*
 * worker - what every room of bulkhead-worker shares: the one struct wrk.
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "common/clock.h"
#include "common/msg.h"
#include "common/tables.h"
#include "proto/contract.h"

struct link;
struct loop;
struct timer;
struct tasks;
struct rest;
struct growing;
struct chat;
struct web;
struct handler;

/*
 * One worker process.  Owner: main.  Everything below `link` exists from HELLO on; of tasks,
 * rest and web a worker has the one that its role needs.
 */
struct wrk {
	struct loop	*loop;
	struct link	*link;
	struct board	*board;		/* descriptor 4, or a private page when there is none */
	char		 name[112];	/* "echo.0#3" */
	struct tasks	*tasks;		/* handlers */
	struct rest	*rest;		/* the role rest */
	struct growing	*growing;	/* its streams */
	struct chat	*chat;		/* the role chat, beside tasks */
	struct web	*web;		/* the role web */
	struct timer	*beat;		/* ticks the board and sends COUNT */
	struct timer	*task_timer;
	uint64_t	 beat_ms;
	uint64_t	 rest_grace_ms;
	bool		 greeted;	/* HELLO came */
	bool		 ending;	/* an exit status is decided */
	int		 status;
};

#endif
