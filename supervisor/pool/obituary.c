/*
 * obituary - see obituary.h.
 */
#include <sys/wait.h>

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "proto/contract.h"
#include "supervisor/pool/obituary.h"

#define MIB	(1024 * 1024)

const char *
death_name(enum death cause)
{
	static const char *const names[] = {
		[DEATH_EXIT] = "exit",
		[DEATH_SIGNAL] = "signal",
		[DEATH_HUNG] = "hung",
		[DEATH_STOPPED] = "stopped",
		[DEATH_NO_READY] = "no_ready",
		[DEATH_PROTOCOL] = "protocol",
		[DEATH_EXEC] = "exec",
		[DEATH_ASKED] = "asked",
		[DEATH_MEMORY] = "memory",
	};

	assert(cause < DEATH__N);
	return names[cause];
}

static void __attribute__((format(printf, 2, 3)))
say(struct obituary *o, const char *fmt, ...)
{
	size_t	 n = strlen(o->text);
	va_list	 ap;

	va_start(ap, fmt);
	(void)vsnprintf(o->text + n, sizeof(o->text) - n, fmt, ap);
	va_end(ap);
}

static const char *
status_meaning(int code)
{
	switch (code) {
	case CONTRACT_EXIT_USAGE:	return ": it was not started as it expects";
	case CONTRACT_EXIT_INIT:	return ": it could not build what it needs";
	case CONTRACT_EXIT_PROTO:	return ": it found our protocol broken";
	case CONTRACT_EXIT_HOLD:	return ": held until an operator acts";
	case 126:			return ": a program could not be run by ";
	case 127:			return ": a program was not found by ";
	default:			return "";
	}
}

/* Was it our signal that ended it? */
static bool
is_ours(const struct death_facts *f, int signo)
{
	return f->blamed && (signo == SIGKILL || (signo == SIGABRT && f->blame == DEATH_HUNG));
}

static void
judge_signal(struct obituary *o, int signo)
{
	o->cause = DEATH_SIGNAL;
	say(o, "killed by signal %d (%s)", signo, strsignal(signo));
	if (signo == SIGKILL)
		say(o, ", not by us: by somebody, or by the kernel short of memory");
}

static void
judge_blame(struct obituary *o, const struct death_facts *f)
{
	char	 human[24];

	o->cause = f->blame;
	switch (f->blame) {
	case DEATH_HUNG:
		if (f->blame_text != NULL && f->blame_text[0] != '\0')
			say(o, "killed: %s", f->blame_text);
		else
			say(o, "killed: no progress for %s%s",
			    clock_human_ms(f->hang_ms, human, sizeof(human)),
			    o->words.frames_n > 0 ? "" : ", and it left no backtrace");
		break;
	case DEATH_STOPPED:
		say(o, "killed: stopped (state T) for %s",
		    clock_human_ms(f->stopped_ms, human, sizeof(human)));
		break;
	case DEATH_NO_READY:
		say(o, "killed: no READY within %s",
		    clock_human_ms(f->start_deadline_ms, human, sizeof(human)));
		break;
	case DEATH_PROTOCOL:
		say(o, "killed: broke the protocol: %s", f->blame_text);
		break;
	default:
		say(o, "killed: %s", f->blame_text);
		break;
	}
}

static void
say_running(struct obituary *o)
{
	char	 human[24];

	if (o->running == 0 || o->cause == DEATH_ASKED)
		return;
	if (o->what.delivery == 0)
		say(o, " while running delivery %016" PRIx64, o->running);
	else
		say(o, " while running %s %" PRIu64, o->what.event,
		    o->what.object != 0 ? o->what.object : o->running);
	if (o->running_ms != UINT64_MAX && o->running_ms > 0)
		say(o, " for %s", clock_human_ms(o->running_ms, human, sizeof(human)));
}

bool
obituary_blames(const struct obituary *o)
{
	bool	 outside = o->cause == DEATH_STOPPED ||
	    (o->cause == DEATH_SIGNAL && (o->code == SIGKILL || o->code == SIGTERM));

	return o->cause != DEATH_ASKED && !(outside && o->idle);
}

void
obituary_judge(struct obituary *o, const struct death_facts *f)
{
	int	 signo = WIFSIGNALED(f->status) ? WTERMSIG(f->status) : 0;

	o->text[0] = '\0';
	o->code = signo != 0 ? signo : WEXITSTATUS(f->status);
	o->was_asked = f->asked;
	if (signo == SIGKILL && f->oom) {
		o->cause = DEATH_MEMORY;
		say(o, "killed by the kernel: out of memory at its limit of %" PRIu64 " MiB",
		    o->memory_bytes / MIB);
	} else if (signo != 0 && !is_ours(f, signo)) {
		judge_signal(o, signo);
	} else if (signo == 0 && f->exec_failed != NULL) {
		o->cause = DEATH_EXEC;
		say(o, "%s", f->exec_failed);
	} else if (signo == 0 &&
	    (!f->blamed || (f->blame != DEATH_PROTOCOL && f->blame != DEATH_HUNG))) {
		o->cause = f->asked && o->code == CONTRACT_EXIT_OK ? DEATH_ASKED : DEATH_EXIT;
		say(o, "exited with status %d%s%s%s", o->code,
		    o->cause == DEATH_ASKED ? " as asked" : "", status_meaning(o->code),
		    o->code == 126 || o->code == 127 ? f->program : "");
	} else {
		judge_blame(o, f);
	}
	say_running(o);
}
