/*
 * capture - see capture.h.
 */
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/capture.h"
#include "common/mem.h"

#define READ_BYTES	65536

struct stream {
	struct capture	*capture;
	int		 fd;		/* -1 at its end */
	struct watch	*watch;
	struct buf	 text;
	size_t		 max;
};

struct capture {
	struct loop	*loop;
	pid_t		 pid;
	int		 pidfd;
	struct watch	*end;
	struct timer	*deadline;
	struct stream	 out, err;
	bool		 late;
	void		(*fn)(void *, const struct capture_result *);
	void		*arg;
};

/* ---- the other side of the fork ---- */

static _Noreturn void
run(const struct capture_spec *sp, int in, int out, int err)
{
	sigset_t	 empty;

	/* A terminal's Ctrl-C is not for it. */
	(void)setpgid(0, 0);
	if (dup2(in, STDIN_FILENO) == -1 || dup2(out, STDOUT_FILENO) == -1 ||
	    dup2(err, STDERR_FILENO) == -1)
		_exit(127);
	closefrom(STDERR_FILENO + 1);
	if (sp->env_name != NULL)
		(void)setenv(sp->env_name, sp->env_value, 1);
	sigemptyset(&empty);
	(void)sigprocmask(SIG_SETMASK, &empty, NULL);
	execv(sp->program, (char *const *)(uintptr_t)sp->argv);
	dprintf(STDERR_FILENO, "%s: %s\n", sp->program, strerror(errno));
	_exit(127);
}

/* What it reads: a file in memory that nobody changes any more. */
static int
make_input(struct span input)
{
	int	 fd;

	if (input.n == 0)
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	if ((fd = memfd_create("bulkhead-input", MFD_CLOEXEC | MFD_ALLOW_SEALING)) == -1)
		return -1;
	if (write(fd, input.p, input.n) != (ssize_t)input.n || lseek(fd, 0, SEEK_SET) == -1 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* ---- this side ---- */

static void
stream_fini(struct stream *s)
{
	if (s->watch != NULL)
		watch_free(&s->watch);
	if (s->fd != -1)
		(void)close(s->fd);
	s->fd = -1;
	if (s->text.cap > 0)
		explicit_bzero(s->text.p, s->text.cap);
	buf_fini(&s->text);
}

/* True: there may be more. */
static bool
stream_read(struct stream *s)
{
	ssize_t	 n;

	if (s->fd == -1)
		return false;
	n = read(s->fd, buf_room(&s->text, READ_BYTES), READ_BYTES);
	if (n > 0)
		buf_added(&s->text, (size_t)n);
	if (n > 0 && s->text.n <= s->max)
		return true;
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (s->text.n > s->max)
		(void)kill(s->capture->pid, SIGKILL);
	watch_free(&s->watch);
	(void)close(s->fd);
	s->fd = -1;
	return false;
}

static void
on_readable(int fd, int what, void *arg)
{
	(void)fd;
	(void)what;
	(void)stream_read(arg);
}

static void
on_deadline(void *arg)
{
	struct capture	*c = arg;

	c->late = true;
	(void)kill(c->pid, SIGKILL);
}

static void
fini(struct capture *c)
{
	stream_fini(&c->out);
	stream_fini(&c->err);
	if (c->end != NULL)
		watch_free(&c->end);
	if (c->deadline != NULL)
		timer_free(&c->deadline);
	if (c->pidfd != -1)
		(void)close(c->pidfd);
	free(c);
}

static void
on_end(int fd, int what, void *arg)
{
	struct capture		*c = arg;
	struct capture_result	 res = { .late = c->late };

	(void)fd;
	(void)what;
	if (waitpid(c->pid, &res.status, WNOHANG) != c->pid)
		return;
	/* What it left in the pipes; a grandchild that holds them is not waited for. */
	while (stream_read(&c->out) || stream_read(&c->err))
		continue;
	res.out = buf_span(&c->out.text);
	res.err = buf_span(&c->err.text);
	c->fn(c->arg, &res);
	fini(c);
}

static void
stream_init(struct capture *c, struct stream *s, int fd, size_t max)
{
	s->capture = c;
	s->fd = fd;
	s->max = max;
	s->watch = watch_new(c->loop, fd, on_readable, s);
	watch_set(s->watch, LOOP_READ);
}

struct capture *
capture_new(struct loop *l, const struct capture_spec *sp,
    void (*fn)(void *, const struct capture_result *), void *arg)
{
	struct capture	*c;
	int		 in, out[2] = { -1, -1 }, err[2] = { -1, -1 }, pidfd = -1, e;
	pid_t		 pid = -1;

	if ((in = make_input(sp->input)) == -1)
		return NULL;
	if (pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0 &&
	    fcntl(out[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(err[0], F_SETFL, O_NONBLOCK) == 0 &&
	    (pid = fork()) == 0)
		run(sp, in, out[1], err[1]);
	e = errno;
	if (pid > 0 && (pidfd = pidfd_open(pid, 0)) == -1) {
		e = errno;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	(void)close(in);
	if (out[1] != -1)
		(void)close(out[1]);
	if (err[1] != -1)
		(void)close(err[1]);
	if (pidfd == -1) {
		if (out[0] != -1)
			(void)close(out[0]);
		if (err[0] != -1)
			(void)close(err[0]);
		errno = e;
		return NULL;
	}
	c = mem_alloc(sizeof(*c));
	c->loop = l;
	c->pid = pid;
	c->pidfd = pidfd;
	c->fn = fn;
	c->arg = arg;
	stream_init(c, &c->out, out[0], sp->out_max);
	stream_init(c, &c->err, err[0], sp->err_max);
	c->end = watch_new(l, pidfd, on_end, c);
	watch_set(c->end, LOOP_READ);
	c->deadline = timer_new(l, on_deadline, c);
	timer_arm_ms(c->deadline, sp->deadline_ms);
	return c;
}

void
capture_free(struct capture **cp)
{
	struct capture	*c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	(void)kill(c->pid, SIGKILL);
	while (waitpid(c->pid, NULL, 0) == -1 && errno == EINTR)
		continue;
	fini(c);
}
