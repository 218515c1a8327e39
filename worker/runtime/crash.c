/*
 * crash - see crash.h.
 *
 * The handler calls only what signal-safety(7) names, and backtrace() and backtrace_symbols_fd(),
 * which allocate nothing once libgcc is loaded: crash_init does that.
 */
#include <ucontext.h>

#include <execinfo.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "proto/contract.h"
#include "worker/runtime/crash.h"
#include "worker/runtime/symbols.h"

#define FRAMES_MAX	64
#define STACK_BYTES	(64u << 10)	/* a stack overflow leaves none of the ordinary one */
#define PATIENCE_S	1		/* for the backtrace itself */

/* SIGABRT is not a crash that a sanitizer reports. */
static const int	 signals[] = { SIGABRT,
#ifndef __SANITIZE_ADDRESS__
	SIGSEGV, SIGBUS, SIGFPE, SIGILL,
#define REPORTED_BY_US	true
#else
#define REPORTED_BY_US	false
#endif
};

static volatile sig_atomic_t	 dying_of;

static void
say(const char *text)
{
	ssize_t	 n = write(STDERR_FILENO, text, strlen(text));

	(void)n;
}

static void
say_hex(uintptr_t v)
{
	char	 text[2 + 2 * sizeof(v) + 1], *p = text + sizeof(text) - 1;

	*p = '\0';
	do {
		*--p = "0123456789abcdef"[v & 15];
	} while ((v >>= 4) != 0);
	*--p = 'x';
	*--p = '0';
	say(p);
}

/* Where it was when the signal came; NULL: this machine's registers are not known here. */
static void *
program_counter(const ucontext_t *uc)
{
#if defined(__x86_64__)
	return (void *)(uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (void *)(uintptr_t)uc->uc_mcontext.pc;
#else
	(void)uc;
	return NULL;
#endif
}

static void
die_now(int signo)
{
	(void)signo;
	(void)signal(dying_of, SIG_DFL);
	(void)raise(dying_of);
}

/* The frames of this handler tell nobody anything. */
static int
frames_to_skip(void *const *frames, int n, const void *pc)
{
	for (int i = 0; pc != NULL && i < n; i++)
		if (frames[i] == pc)
			return i;
	return 0;
}

/* Static functions have no name for the C library; what is not of this program it knows best. */
static void
say_frame(void *frame, bool returns_here)
{
	size_t		 offset;
	/* A call's return address may be the first byte of the next function. */
	const char	*name = symbols_find((const char *)frame - returns_here, &offset);

	if (name == NULL) {
		backtrace_symbols_fd(&frame, 1, STDERR_FILENO);
		return;
	}
	say("bulkhead-worker(");
	say(name);
	say("+");
	say_hex(offset + returns_here);
	say(")\n");
}

static void
on_crash(int signo, siginfo_t *info, void *context)
{
	const char	*name = sigabbrev_np(signo);
	void		*frames[FRAMES_MAX];
	int		 n, skip;

	dying_of = signo;
	(void)signal(SIGALRM, die_now);
	(void)alarm(PATIENCE_S);
	/* A line of its own, whatever stands half written before it. */
	say("\n" CONTRACT_CRASH "SIG");
	say(name == NULL ? "?" : name);
	if (info->si_code > 0 && (signo == SIGSEGV || signo == SIGBUS)) {
		say(" at ");
		say_hex((uintptr_t)info->si_addr);
	}
	say("\n");
	n = backtrace(frames, FRAMES_MAX);
	skip = frames_to_skip(frames, n, program_counter(context));
	for (int i = skip; i < n; i++)
		say_frame(frames[i], i > skip || skip == 0);
	say(CONTRACT_CRASH_END "\n");
	(void)raise(signo);		/* SA_RESETHAND: by default now */
}

void
crash_init(void)
{
	static char		 stack[STACK_BYTES];
	stack_t			 alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction	 sa = {
		.sa_sigaction = on_crash,
		.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER | SA_ONSTACK
	};
	void			*prime[1];

	(void)backtrace(prime, 1);
	symbols_init();
	(void)sigaltstack(&alt, NULL);
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaction(signals[i], &sa, NULL);
}

void
crash_planned(void)
{
	if (!REPORTED_BY_US)
		(void)signal(SIGSEGV, SIG_DFL);
	(void)raise(SIGSEGV);
}
