/*
 * contract - what a child inherits and what every process agrees on.
 *
 * Constants only: descriptors, exit statuses, caps, the scoreboard.  A worker in
 * another language needs this file, messages.def and README.md, nothing else.
 */
#ifndef PROTO_CONTRACT_H
#define PROTO_CONTRACT_H

#include <stdatomic.h>
#include <stdint.h>

#define PROTO_VERSION		1	/* in HELLO; see the version rule in README.md */

/* Descriptors that are open when a worker starts; everything above is closed. */
#define CONTRACT_FD		3	/* the link: Unix stream socket, frames of messages.def */
#define CONTRACT_BOARD_FD	4	/* the scoreboard: memfd, one page, mapped shared */

/*
 * Exit statuses of a worker that its supervisor understands.  125 alone changes what it does: the
 * place is held.  The others, any other status and a signal are a death like any other; they differ
 * in the obituary.  After READY: started again at once the first time, then 1 s apart.  Before
 * READY: after 2 s, doubled to 60 s.  Ten deaths within a minute: failed, tried once a minute.  A
 * minute of READY, or an operator, resets that.  A successor (restart --rolling) is tried once.
 */
#define CONTRACT_EXIT_OK	0	/* drained, or the supervisor is gone */
#define CONTRACT_EXIT_USAGE	64	/* not started by a supervisor */
#define CONTRACT_EXIT_INIT	70	/* could not build what it needs */
#define CONTRACT_EXIT_PROTO	76	/* the peer broke the protocol */
#define CONTRACT_EXIT_HOLD	125	/* do not start me again until an operator acts */

/* Exit statuses of bulkheadd; scripts and process managers may rely on them. */
#define BULKHEADD_EXIT_OK	0	/* stopped when asked */
#define BULKHEADD_EXIT_FAIL	1	/* the machine refused something that starting needs */
#define BULKHEADD_EXIT_USAGE	64	/* unknown option */
#define BULKHEADD_EXIT_API	69	/* Discord's API could not be reached within start_patience */
#define BULKHEADD_EXIT_INSTANCE	73	/* another bulkheadd holds this runtime_dir */
#define BULKHEADD_EXIT_INTENTS	76	/* close 4013 or 4014: intents wrong or not enabled */
#define BULKHEADD_EXIT_TOKEN	77	/* 401 or close 4004: the token is wrong */
#define BULKHEADD_EXIT_CONFIG	78	/* the configuration is wrong */
#define BULKHEADD_EXIT_GATEWAY	79	/* another fatal close: shard, version */

/* Exit statuses of bulkheadctl. */
#define CTL_EXIT_OK		0
#define CTL_EXIT_FAILED		1	/* understood, tried, did not succeed */
#define CTL_EXIT_USAGE		64	/* no such verb, wrong arguments */
#define CTL_EXIT_NOTFOUND	66	/* no such pool, worker or message */
#define CTL_EXIT_UNREACHABLE	69	/* no supervisor answers on the socket */
#define CTL_EXIT_TIMEOUT	75	/* it did not finish in time; it may still */
#define CTL_EXIT_DENIED		77	/* peer credentials do not allow it */

/* So begins the refusal of a command that was not begun: asked again in a moment it is taken. */
#define CTL_UPGRADING		"the supervisor is being upgraded"

/* Caps.  A frame above its cap closes the link: see common/chan.h. */
#define PROTO_FRAME_MAX		(64u << 20)	/* one frame between supervisor and worker */
#define PROTO_CTL_FRAME_MAX	(1u << 20)	/* one frame on the control socket */
#define PROTO_CALL_KEEP_MAX	(64u << 10)	/* a larger CALL is not kept for the spare: ERETRY */
#define PROTO_STATE_MAX		(64u << 10)	/* of a service: the last whole and its parts */
#define PROTO_EFFECTS_MAX	64		/* changing calls of one delivery */

/*
 * The scoreboard: written by the worker alone, read by the supervisor and, after
 * a death, the one witness of what was running.  A worker in another language
 * that does not map it is judged by BEAT messages instead.
 */
struct board {
	_Atomic uint64_t tick;		/* +1 per loop turn, and at least once a second when idle */
	_Atomic uint64_t delivery;	/* id of the delivery whose code runs now; 0 none */
	_Atomic uint64_t scopes;	/* open scopes */
	_Atomic uint64_t since_us;	/* CLOCK_MONOTONIC when that code began; 0 not told */
	/* How late its timers fired since it started; for people, optional. */
	_Atomic uint64_t timers;	/* that fired; 0: the next three say nothing */
	_Atomic uint64_t late_p50_us, late_p99_us, late_max_us;
	_Atomic uint64_t landlock;	/* version of Landlock that it put itself under; for people too */
};

/*
 * A backtrace on stderr: the first line with what happened behind it, one line per frame from the
 * innermost on, the last line.  The supervisor keeps it apart from the other last lines.
 */
#define CONTRACT_CRASH		"bulkhead crash: "
#define CONTRACT_CRASH_END	"bulkhead crash: end"

/*
 * A verb of the service discord beside the methods of HTTP, for the supervisor alone: what the rest
 * worker knows of the limits, as a JSON object in RESULT.body (proto/schema/show-buckets.json).
 */
#define PROTO_VERB_LIMITS	"LIMITS"

enum state_kind { STATE_PART, STATE_ALL, STATE_LAST };	/* messages.def, STATE.kind */

#endif
