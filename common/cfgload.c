/*
 * cfgload - the parent of the configuration child: run it, wait, take its frame.  See cfg.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cfg.h"
#include "common/clock.h"
#include "common/msg.h"

#define FRAME_BYTES_MAX	(4u << 20)
#define CHILD_MS	10000

struct child {
	pid_t		 pid;
	int		 out, err;	/* read ends; -1 when at their end */
	struct buf	 frame, text;
	bool		 late;
};

static int
child_start(struct child *ch, const char *program, const char *path, bool need_token)
{
	const char	*argv[7];
	int		 out[2], err[2], n = 0, null;

	argv[n++] = program;
	argv[n++] = "-x";
	argv[n++] = "config";
	if (!need_token)
		argv[n++] = "--no-gateway";
	argv[n++] = "-c";
	argv[n++] = path;
	argv[n] = NULL;
	if (pipe2(out, O_CLOEXEC) == -1)
		return -1;
	if (pipe2(err, O_CLOEXEC) == -1) {
		(void)close(out[0]);
		(void)close(out[1]);
		return -1;
	}
	ch->pid = fork();
	if (ch->pid == 0) {
		null = open("/dev/null", O_RDONLY);
		if (null == -1 || dup2(null, STDIN_FILENO) == -1 ||
		    dup2(out[1], STDOUT_FILENO) == -1 || dup2(err[1], STDERR_FILENO) == -1)
			_exit(127);
		closefrom(STDERR_FILENO + 1);
		execvp(program, (char *const *)(uintptr_t)argv);
		dprintf(STDERR_FILENO, "%s: %s\n", program, strerror(errno));
		_exit(127);
	}
	(void)close(out[1]);
	(void)close(err[1]);
	if (ch->pid == -1) {
		(void)close(out[0]);
		(void)close(err[0]);
		return -1;
	}
	ch->out = out[0];
	ch->err = err[0];
	return 0;
}

static void
child_read(int *fd, struct buf *b, size_t max_bytes)
{
	ssize_t	 n = read(*fd, buf_room(b, 65536), 65536);

	if (n == -1 && errno == EINTR)
		return;
	if (n > 0)
		buf_added(b, (size_t)n);
	if (n <= 0 || b->n > max_bytes) {
		(void)close(*fd);
		*fd = -1;
	}
}

/* Read both pipes to their ends, and the status.  A child that takes too long is killed. */
static int
child_finish(struct child *ch)
{
	struct mono	 deadline = mono_add_ms(clock_mono(), CHILD_MS);
	struct pollfd	 p[2];
	uint64_t	 left;
	int		 status = 0;

	while (ch->out != -1 || ch->err != -1) {
		left = mono_ms_until(clock_mono(), deadline);
		p[0] = (struct pollfd){ ch->out, POLLIN, 0 };
		p[1] = (struct pollfd){ ch->err, POLLIN, 0 };
		if (left == 0 || (poll(p, 2, (int)left) == -1 && errno != EINTR)) {
			ch->late = true;
			break;
		}
		if (p[0].revents != 0)
			child_read(&ch->out, &ch->frame, FRAME_BYTES_MAX);
		if (p[1].revents != 0)
			child_read(&ch->err, &ch->text, 65536);
	}
	if (ch->out != -1)
		(void)close(ch->out);
	if (ch->err != -1)
		(void)close(ch->err);
	if (ch->late)
		(void)kill(ch->pid, SIGKILL);
	while (waitpid(ch->pid, &status, 0) == -1 && errno == EINTR)
		continue;
	return status;
}

/* Why there was no frame: the child's last words, or how it ended. */
static char *
child_obituary(const struct child *ch, int status, const char *why)
{
	struct span	 s = buf_span(&ch->text);
	size_t		 start;

	if (ch->late)
		return mem_printf("the configuration could not be read: no answer within %u s",
		    CHILD_MS / 1000);
	while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
		s.n--;
	for (start = s.n; start > 0 && s.p[start - 1] != '\n'; start--)
		continue;
	if (s.n > 0)
		return mem_printf("the configuration could not be read: %.*s", (int)(s.n - start),
		    s.p + start);
	if (WIFSIGNALED(status))
		return mem_printf("the configuration could not be read: its reader died of"
		    " signal %d", WTERMSIG(status));
	return mem_printf("the configuration could not be read: %s", why);
}

static char *
join_errors(struct msg_list errors)
{
	struct msg_list_iter	 it = { errors.raw, 0 };
	struct buf		 b = { 0 };
	struct span		 s;
	char			*text;

	while (msg_list_more(&it))
		if (msg_list_next_str(&it, &s)) {
			if (b.n > 0)
				buf_add(&b, "\n", 1);
			buf_add_span(&b, s);
		}
	text = mem_spandup(buf_span(&b));
	buf_fini(&b);
	return text;
}

/* What was taken from the environment is no longer there for anyone to read. */
static void
forget_variables(struct msg_list rows)
{
	struct msg_list_iter	 it = { rows.raw, 0 };
	struct span		 section, skip, name;
	char			*key, *value;

	while (msg_list_more(&it)) {
		if (!msg_list_next_str(&it, &section) || !msg_list_next_str(&it, &skip) ||
		    !msg_list_next_str(&it, &name) || !msg_list_next_str(&it, &skip))
			return;
		if (!span_is(section, "env"))
			continue;
		key = mem_spandup(name);
		value = getenv(key);
		if (value != NULL)
			explicit_bzero(value, strlen(value));
		(void)unsetenv(key);
		free(key);
	}
}

struct cfg *
cfg_load(const char *program, const char *path, bool need_token, char **errors_r)
{
	struct child	 ch = { .out = -1, .err = -1 };
	struct cfg	*cfg = NULL;
	struct msg_in	 in;
	const char	*why = "";
	msgpack_zone	 zone;
	int		 status;

	*errors_r = NULL;
	if (child_start(&ch, program, path, need_token) == -1) {
		*errors_r = mem_printf("the configuration could not be read: %s", strerror(errno));
		return NULL;
	}
	status = child_finish(&ch);
	if (!msgpack_zone_init(&zone, 1024))
		abort();
	if (ch.late || msg_unpack(buf_span(&ch.frame), &zone, &in) == -1)
		*errors_r = child_obituary(&ch, status, ch.late ? "" : in.why);
	else if (in.type == MSG_CONFIG_BAD)
		*errors_r = join_errors(in.CONFIG_BAD.errors);
	else {
		cfg = cfg_of_frame(buf_span(&ch.frame), &why);
		if (cfg == NULL)
			*errors_r = mem_printf("%s: %s", path, why);
		else
			forget_variables(in.CONFIG.rows);
	}
	msgpack_zone_destroy(&zone);
	if (ch.frame.cap > 0)
		explicit_bzero(ch.frame.p, ch.frame.cap);
	buf_fini(&ch.frame);
	buf_fini(&ch.text);
	return cfg;
}
