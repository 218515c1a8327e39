/*
 * upgrade - see upgrade.h.
 */
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/capture.h"
#include "common/log.h"
#include "proto/contract.h"
#include "supervisor/control/calls.h"
#include "supervisor/control/control.h"
#include "supervisor/control/notify.h"
#include "supervisor/delivery/fetchgap.h"
#include "supervisor/moments.h"
#include "supervisor/reload.h"
#include "supervisor/run.h"
#include "supervisor/upgrade.h"

#define CHECK_MS	15000	/* more than the configuration child may take */
#define TEXT_BYTES_MAX	65536
#define SLACK_MS	3000	/* beyond rest_grace: the close frame's answer */

struct upgrade {
	struct run	*run;
	char		 own[PATH_MAX];		/* where our program lies, or lay */
	char		 program[PATH_MAX];	/* the new one */
	char		 version[32];		/* of it */
	struct capture	*check;
	struct timer	*bound;
	void		(*fn)(void *, const char *);
	void		*arg;
	bool		 switching, due;
	struct handover	 former;
	bool		 has_former;
	/* what became of the one that made this process */
	bool		 live, resumed;
	uint64_t	 gap_ms, replayed, live_wall_ms;
};

/* ---- the program on disk is asked ---- */

static void
told(struct upgrade *u, const char *why)
{
	void	(*fn)(void *, const char *) = u->fn;

	u->fn = NULL;
	if (why != NULL)
		log_err("upgrade: everything stays as it is: %s", why);
	if (fn != NULL)
		fn(u->arg, why);
}

static struct span
last_line(struct span s)
{
	size_t	 start;

	while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
		s.n--;
	for (start = s.n; start > 0 && s.p[start - 1] != '\n'; start--)
		continue;
	return span_make(s.p + start, s.n - start);
}

/* "bulkheadd 0.1.0", its first line. */
static bool
read_version(struct upgrade *u, struct span out)
{
	const struct span	 head = SPAN("bulkheadd ");
	size_t			 n = 0;

	if (out.n < head.n || memcmp(out.p, head.p, head.n) != 0)
		return false;
	out.p += head.n;
	out.n -= head.n;
	while (n < out.n && out.p[n] != '\n' && out.p[n] != ' ')
		n++;
	span_copy(span_make(out.p, n), u->version, sizeof(u->version));
	return n > 0;
}

static void	 begin_switch(struct upgrade *);

static void
on_checked(void *arg, const struct capture_result *res)
{
	struct upgrade	*u = arg;
	struct span	 said = last_line(res->err.n > 0 ? res->err : res->out);
	char		 why[400];

	u->check = NULL;
	if (res->late)
		snprintf(why, sizeof(why), "the new program did not answer within %d s",
		    CHECK_MS / 1000);
	else if (WIFSIGNALED(res->status))
		snprintf(why, sizeof(why), "the new program died of signal %d when it was asked",
		    WTERMSIG(res->status));
	else if (WEXITSTATUS(res->status) != 0)
		snprintf(why, sizeof(why), "the new program refuses: %.*s (exit status %d)",
		    (int)(said.n > 250 ? 250 : said.n), said.n == 0 ? "" : said.p,
		    WEXITSTATUS(res->status));
	else if (!read_version(u, res->out))
		snprintf(why, sizeof(why), "the new program is no bulkheadd that can take over");
	else {
		begin_switch(u);
		return;
	}
	told(u, why);
}

/* Our arguments with -n: an option that the new one does not know is found now. */
static struct capture *
ask_program(struct upgrade *u)
{
	struct run		*run = u->run;
	struct handover		 h = { .check = true, .lock_fd = -1, .control_fd = -1 };
	struct buf		 packed = { 0 };
	struct capture_spec	 spec = {
		.program = u->program, .env_name = HANDOVER_ENV, .env_value = "0",
		.deadline_ms = CHECK_MS, .out_max = TEXT_BYTES_MAX, .err_max = TEXT_BYTES_MAX,
	};
	const char		**argv;
	struct capture		*c;
	size_t			 n = 0;

	while (run->argv[n] != NULL)
		n++;
	argv = mem_array(n + 2, sizeof(*argv));
	argv[0] = u->program;
	argv[1] = "-n";
	for (size_t i = 1; i < n; i++)
		argv[i + 1] = run->argv[i];
	spec.argv = argv;
	strlcpy(h.from, BULKHEAD_VERSION, sizeof(h.from));
	strlcpy(h.runtime_dir, run->sup.cfg->runtime_dir, sizeof(h.runtime_dir));
	handover_pack(&h, &run->sup.cfg->vars, &packed);
	spec.input = buf_span(&packed);
	c = capture_new(run->sup.loop, &spec, on_checked, u);
	explicit_bzero(packed.p, packed.cap);
	buf_fini(&packed);
	free(argv);
	return c;
}

int
upgrade_check(const struct handover *h, const struct cfg *cfg, const char *worker)
{
	char		*path;
	const char	*why;
	int		 rc = 0;

	if (strcmp(h->runtime_dir, cfg->runtime_dir) != 0) {
		warnx("runtime_dir is %s now and was %s: that needs a stop and a start",
		    cfg->runtime_dir, h->runtime_dir);
		return -1;
	}
	if (access(worker, X_OK) == -1) {
		warn("%s", worker);
		return -1;
	}
	path = mem_printf("%s/journal", cfg->runtime_dir);
	if (journal_readable(path, &why) == -1) {
		warnx("%s: %s", path, why);
		rc = -1;
	}
	free(path);
	if (rc == 0)
		printf("bulkheadd %s\n", BULKHEAD_VERSION);
	return rc;
}

int
upgrade_begin(struct upgrade *u, struct span program, const char *who,
    void (*fn)(void *, const char *), void *arg, const char **why_r)
{
	struct sup	*sup = &u->run->sup;

	*why_r = NULL;
	if (sup->phase == SUP_STOPPING)
		*why_r = "the supervisor is stopping";
	else if (u->check != NULL || u->switching)
		*why_r = "an upgrade is under way already";
	else if (reload_under_way(sup->reload))
		*why_r = "a reload is under way";
	else if (program.n >= sizeof(u->program) || (program.n > 0 && program.p[0] != '/'))
		*why_r = "the path of the new program must be absolute";
	if (*why_r != NULL)
		return -1;
	if (program.n == 0)
		strlcpy(u->program, u->own, sizeof(u->program));
	else
		span_copy(program, u->program, sizeof(u->program));
	if ((u->check = ask_program(u)) == NULL) {
		*why_r = strerror(errno);
		return -1;
	}
	u->fn = fn;
	u->arg = arg;
	log_notice("upgrade: asked by %s, checking %s", who, u->program);
	moment_say(MOMENT_UPGRADE, "", "checking %s", u->program);
	return 0;
}

uint64_t
upgrade_number(const struct upgrade *u)
{
	return u->former.upgrades + 1;
}

/* ---- the switch: intake off, handlers, rest, gateway, out ---- */

static void
over(struct upgrade *u)
{
	u->due = u->switching;
	if (u->due)
		loop_stop(u->run->sup.loop);
}

/* Last of all: until here Discord is listened to, and what it says is in the journal. */
static void
on_rest_gone(void *arg)
{
	struct upgrade	*u = arg;
	struct sup	*sup = &u->run->sup;

	if (!u->switching)
		return;
	u->former.closed_at = clock_mono();
	if (sup->gw == NULL)
		over(u);
	else
		run_stop_gateway(u->run, false);
}

static void
on_handlers_gone(void *arg)
{
	struct upgrade	*u = arg;
	struct sup	*sup = &u->run->sup;

	if (!u->switching)
		return;
	calls_services_end(sup->calls);
	pools_stop(sup->pools, true, sup->cfg->rest_grace_ms, 0, on_rest_gone, u);
}

/* What is left is the successor's: it knows our children from the journal. */
static void
on_bound(void *arg)
{
	struct upgrade	*u = arg;

	log_warnx("upgrade: not all of it ended in time children=%zu",
	    pools_alive(u->run->sup.pools));
	if (mono_is_never(u->former.closed_at))
		u->former.closed_at = clock_mono();
	over(u);
}

static void
begin_switch(struct upgrade *u)
{
	struct sup	*sup = &u->run->sup;

	u->switching = true;
	u->former.closed_at = MONO_NEVER;
	sup->phase = SUP_UPGRADING;
	log_notice("upgrade: from=%s to=%s program=%s", BULKHEAD_VERSION, u->version, u->program);
	notify_reloading(sup->notify);
	told(u, NULL);
	control_stopping(sup->control, CTL_UPGRADING);
	u->bound = timer_new(sup->loop, on_bound, u);
	timer_arm_ms(u->bound, sup->cfg->rest_grace_ms + SLACK_MS);
	queue_hold(sup->queue, true);
	if (sup->fetchgap != NULL)
		fetchgap_stop(sup->fetchgap);
	calls_cancel(sup->calls, u->run);
	pools_end_handlers(sup->pools, on_handlers_gone, u);
}

void
upgrade_cancel(struct upgrade *u)
{
	if (u == NULL)
		return;
	if (u->check != NULL) {
		capture_free(&u->check);
		told(u, "the supervisor is stopping");
	}
	if (u->switching)
		log_notice("upgrade: a stop came first");
	u->switching = u->due = false;
	if (u->bound != NULL)
		timer_free(&u->bound);
}

bool
upgrade_due(const struct upgrade *u)
{
	return u != NULL && u->due;
}

void
upgrade_stopped(struct upgrade *u)
{
	over(u);
}

/* ---- exec ---- */

static void
become(const char *program, char **argv, const struct handover *h, struct span vars)
{
	struct buf	 packed = { 0 };
	char		 number[16];
	int		 fd;

	handover_pack(h, NULL, &packed);
	buf_add_span(&packed, vars);
	fd = handover_fd(buf_span(&packed));
	explicit_bzero(packed.p, packed.cap);
	buf_fini(&packed);
	if (fd == -1)
		return;
	snprintf(number, sizeof(number), "%d", fd);
	(void)setenv(HANDOVER_ENV, number, 1);
	execv(program, argv);
	(void)close(fd);
}

void
upgrade_exec(struct run *run, char **argv)
{
	struct upgrade	*u = run->sup.upgrade;
	struct handover	 h = {
		.lock_fd = run->lock_fd, .closed_at = u->former.closed_at,
		.upgrades = u->former.upgrades + 1, .control_fd = -1,
	};
	struct buf	 vars = { 0 };
	char		 program[PATH_MAX];

	strlcpy(h.from, BULKHEAD_VERSION, sizeof(h.from));
	strlcpy(h.runtime_dir, run->sup.cfg->runtime_dir, sizeof(h.runtime_dir));
	strlcpy(program, u->program, sizeof(program));
	cfg_vars_pack(&run->sup.cfg->vars, &vars);
	/* The lock lives as long as one descriptor of the file does not close. */
	(void)fcntl(run->lock_fd, F_SETFD, 0);
	run->lock_fd = -1;
	/* Who asks while nobody is there waits in its backlog. */
	h.control_fd = control_keep(run->sup.control);
	run_free(run);
	become(program, argv, &h, buf_span(&vars));
	/* It was good a moment ago; ours is still there, even when its file is not. */
	snprintf(h.failed, sizeof(h.failed), "the new program could not be executed: %s",
	    strerror(errno));
	log_err("upgrade: %s; going on as %s", h.failed, BULKHEAD_VERSION);
	become("/proc/self/exe", argv, &h, buf_span(&vars));
	log_err("upgrade: /proc/self/exe: %s", strerror(errno));
	explicit_bzero(vars.p, vars.cap);
	buf_fini(&vars);
}

/* ---- the other side ---- */

struct upgrade *
upgrade_new(struct run *run, const struct handover *former, const char *program)
{
	struct upgrade	*u = mem_alloc(sizeof(*u));

	u->run = run;
	strlcpy(u->own, program, sizeof(u->own));
	u->has_former = former != NULL;
	if (former != NULL)
		u->former = *former;
	return u;
}

void
upgrade_free(struct upgrade **up)
{
	struct upgrade	*u = *up;

	if (u == NULL)
		return;
	*up = NULL;
	capture_free(&u->check);
	if (u->bound != NULL)
		timer_free(&u->bound);
	free(u);
}

void
upgrade_replayed(struct upgrade *u)
{
	if (u->has_former && !u->live)
		u->replayed++;
}

void
upgrade_live(struct upgrade *u, bool resumed)
{
	if (!u->has_former || u->live)
		return;
	u->live = true;
	u->resumed = resumed;
	u->live_wall_ms = clock_wall_ms();
	u->gap_ms = mono_ms_between(u->former.closed_at, clock_mono());
	moment_say(MOMENT_UPGRADE, "", "%s%s", u->former.failed[0] != '\0' ? "failed: " : "to ",
	    u->former.failed[0] != '\0' ? u->former.failed : BULKHEAD_VERSION);
	if (u->former.failed[0] != '\0')
		log_err("upgrade failed: %s; still %s gateway_gap_ms=%" PRIu64, u->former.failed,
		    BULKHEAD_VERSION, u->gap_ms);
	else
		log_notice("upgraded from=%s to=%s gateway_gap_ms=%" PRIu64 " replayed=%" PRIu64
		    " resumed=%d", u->former.from, BULKHEAD_VERSION, u->gap_ms, u->replayed,
		    u->resumed);
}

void
upgrade_put(const struct upgrade *u, struct json_out *o)
{
	char	 iso[32];

	json_key(o, "upgrade");
	if (u == NULL || !u->has_former) {
		json_nil(o);
		return;
	}
	json_obj(o);
	json_kv_u64(o, "number", u->former.upgrades);
	json_kv_cstr(o, "from", u->former.from);
	json_kv_cstr(o, "to", BULKHEAD_VERSION);
	json_kv_bool(o, "done", u->live);
	json_kv_cstr(o, "failed", u->former.failed[0] == '\0' ? NULL : u->former.failed);
	json_kv_u64(o, "gap_ms", u->live ? u->gap_ms :
	    mono_ms_between(u->former.closed_at, clock_mono()));
	json_kv_u64(o, "replayed", u->replayed);
	json_kv_bool(o, "resumed", u->resumed);
	json_kv_cstr(o, "at", !u->live ? NULL : clock_iso(u->live_wall_ms, iso, sizeof(iso)));
	json_obj_end(o);
}
