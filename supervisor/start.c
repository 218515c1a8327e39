/*
 * start - the start order, and what undoes it.
 */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "common/secret.h"
#include "proto/contract.h"
#include "supervisor/control/calls.h"
#include "supervisor/control/control.h"
#include "supervisor/control/notify.h"
#include "supervisor/control/poolcalls.h"
#include "supervisor/control/snapshot.h"
#include "supervisor/control/status.h"
#include "supervisor/control/streams.h"
#include "supervisor/delivery/fetchgap.h"
#include "supervisor/delivery/stale.h"
#include "supervisor/pool/orphans.h"
#include "supervisor/reload.h"
#include "supervisor/run.h"
#include "supervisor/upgrade.h"

#define FDS_BASE	128	/* ourselves, control clients, the rest pool, a reconnect */
#define FDS_PER_WORKER	12	/* link, board, stderr, pidfd; of a place's three processes */

int
run_find_worker(struct run *run)
{
	static const char	 gone[] = " (deleted)";
	ssize_t			 n = readlink("/proc/self/exe", run->exe, sizeof(run->exe) - 1);
	char			*slash;

	if (n <= 0)
		return -1;
	run->exe[n] = '\0';
	/* Its file was replaced before we read this, or we are what an upgrade fell back to. */
	if ((size_t)n > sizeof(gone) && strcmp(run->exe + n - (sizeof(gone) - 1), gone) == 0)
		run->exe[n - (ssize_t)(sizeof(gone) - 1)] = '\0';
	strlcpy(run->worker, run->exe, sizeof(run->worker));
	if ((slash = strrchr(run->worker, '/')) == NULL)
		return -1;
	strlcpy(slash + 1, "bulkhead-worker", sizeof(run->worker) - (size_t)(slash + 1 - run->worker));
	return access(run->worker, X_OK);
}

/*
 * What this configuration may open at once; workers inherit the limit.  Without enough of them
 * nothing starts.
 */
static void
want_descriptors(const struct cfg *cfg)
{
	struct rlimit	 lim;
	rlim_t		 need = FDS_BASE;

	for (size_t i = 0; i < cfg->pools_n; i++)
		need += FDS_PER_WORKER * cfg->pools[i].workers;
	if (getrlimit(RLIMIT_NOFILE, &lim) == -1 || lim.rlim_cur >= need)
		return;
	lim.rlim_cur = lim.rlim_max < need ? lim.rlim_max : need;
	if (setrlimit(RLIMIT_NOFILE, &lim) == -1 || lim.rlim_cur < need)
		log_warnx("the limit of open files is %llu, this configuration may need %llu:"
		    " raise it (ulimit -n, LimitNOFILE=)", (unsigned long long)lim.rlim_cur,
		    (unsigned long long)need);
}

/* Make the directory and take the lock that keeps a second instance out.  0, or the exit status. */
static int
take_lock(struct run *run)
{
	const char	*dir = run->sup.cfg->runtime_dir;
	struct flock	 whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char		*path;

	if (mkdir(dir, 0750) == -1 && errno != EEXIST) {
		log_err("cannot make runtime_dir %s: %s; make it for this user, or set runtime_dir to"
		    " a place it may write", dir, strerror(errno));
		return BULKHEADD_EXIT_FAIL;
	}
	path = mem_printf("%s/lock", dir);
	/* Handed over: opening and closing the file once more would give the lock away. */
	if (run->lock_fd == -1)
		run->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	else
		(void)fcntl(run->lock_fd, F_SETFD, FD_CLOEXEC);
	if (run->lock_fd == -1) {
		log_err("cannot open %s: %s; runtime_dir must be a directory that this user may"
		    " write", path, strerror(errno));
		free(path);
		return BULKHEADD_EXIT_FAIL;
	}
	free(path);
	/* Not flock: a child between fork and exec would hold it on when we are killed. */
	if (fcntl(run->lock_fd, F_SETLK, &whole) == -1) {
		log_err("another bulkheadd is running on %s: stop it, or give this one its own"
		    " runtime_dir", dir);
		return BULKHEADD_EXIT_INSTANCE;
	}
	return 0;
}

static void
on_patience(void *arg)
{
	struct run	*run = arg;

	run->status = BULKHEADD_EXIT_API;
	log_err("Discord's API at %s could not be reached for %llu s: %s", run->sup.cfg->api_url,
	    (unsigned long long)run->sup.cfg->start_patience_ms / 1000,
	    run->last_api[0] == '\0' ? "no answer" : run->last_api);
	sup_stop(&run->sup, "Discord's API could not be reached", false);
}

static void
on_leftovers_gone(void *arg)
{
	struct run	*run = arg;

	calls_gate(run->sup.calls, true);
	run_follow_active(run);
}

static void
on_signal(int signo, void *arg)
{
	struct run	*run = arg;
	const char	*why;

	if (signo == SIGUSR1)
		log_info("alive: children=%zu calls=%zu waiting=%llu given=%llu turns=%llu",
		    pools_alive(run->sup.pools), calls_open(run->sup.calls),
		    (unsigned long long)journal_count(run->sup.journal, DLV_WAITING),
		    (unsigned long long)journal_count(run->sup.journal, DLV_GIVEN),
		    (unsigned long long)loop_turns(run->sup.loop));
	else if (signo == SIGHUP)
		reload_signal(run->sup.reload);
	else if (signo == SIGUSR2) {
		if (upgrade_begin(run->sup.upgrade, SPAN_NONE, "SIGUSR2", NULL, NULL, &why) == -1)
			log_warnx("SIGUSR2: not upgraded: %s", why);
	} else
		sup_stop(&run->sup, signo == SIGTERM ? "SIGTERM" : "SIGINT", false);
}

void
run_running(struct run *run)
{
	if (run->sup.phase == SUP_STARTING)
		run->sup.phase = SUP_RUNNING;
}

static void
check_pool(void *arg, const struct pool_view *p)
{
	bool	*ready = arg;

	/* Who only shows how it is keeps nobody waiting. */
	*ready = *ready && (p->ready > 0 || p->running == 0 || strcmp(p->role, "web") == 0);
}

/* Events come in, and each pool has somebody who answers; a pool that never has is waited for once. */
static bool
notify_is_ready(void *arg)
{
	struct sup	*sup = arg;
	bool		 ready = true;

	if (sup->phase != SUP_RUNNING)
		return false;
	pools_each_pool(sup->pools, check_pool, &ready);
	return ready ||
	    mono_ms_between(sup->started, clock_mono()) > sup->cfg->start_deadline_ms;
}

static void
notify_status(void *arg, char *dst, size_t bytes)
{
	status_line(arg, dst, bytes);
}

/* Variables of systemd's; workers get a clean environment. */
static void
start_notify(struct sup *sup)
{
	static const struct notify_ops	 ops = { notify_is_ready, notify_status };
	const struct notify_env		 env = {
		.socket = getenv("NOTIFY_SOCKET"),
		.usec = getenv("WATCHDOG_USEC"),
		.pid = getenv("WATCHDOG_PID"),
		.ready_fd = sup->ready_fd,
	};

	sup->notify = notify_new(sup->loop, &env, &ops, sup);
}

static int
start_journal(struct run *run)
{
	struct sup	*sup = &run->sup;
	char		*path = mem_printf("%s/journal", sup->cfg->runtime_dir);
	const char	*why;

	sup->journal = journal_open(path, sup->cfg->journal_bytes, clock_wall_ms(), &sup->opened,
	    &why);
	if (sup->journal == NULL)
		log_err("cannot use %s: %s (journal = %llu bytes)", path, why,
		    (unsigned long long)sup->cfg->journal_bytes);
	else if (sup->opened.damaged)
		log_err("%s", sup->opened.text);
	else if (!sup->opened.created)
		log_notice("journal: unfinished=%llu finished=%llu aside=%llu",
		    (unsigned long long)sup->opened.unfinished_n,
		    (unsigned long long)sup->opened.finished_n,
		    (unsigned long long)sup->opened.aside_n);
	if (sup->journal != NULL && !sup->opened.tmpfs)
		log_warnx("runtime_dir %s is not on tmpfs: a slow disk can stall the heartbeat",
		    sup->cfg->runtime_dir);
	free(path);
	return sup->journal == NULL ? -1 : 0;
}

/*
 * The start order.  Each step needs those above it; run_free undoes them from the bottom up.
 * 0, or an exit status.
 */
int
run_start(struct run *run)
{
	static const int	 signals[] = { SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP };
	struct sup		*sup = &run->sup;
	struct gw_identity	 id;
	struct gw_budget	 budget;
	struct journal_channel	 known[64];
	size_t			 n;
	bool			 have_id, have_budget;
	const char		*why;
	char			*path;
	int			 status;

	want_descriptors(sup->cfg);
	if ((status = take_lock(run)) != 0)
		return status;
	if ((sup->loop = loop_new()) == NULL) {
		log_err("cannot make the event loop: %s", strerror(errno));
		return BULKHEADD_EXIT_FAIL;
	}
	log_attach(sup->loop);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		run->signals[i] = sigwatch_new(sup->loop, signals[i], on_signal, run);
	/* What a handler leaves behind stays ours: to be reaped, to be refused, to end with us. */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	sup->orphans = orphans_new(sup->loop, true);
	run->patience = timer_new(sup->loop, on_patience, run);
	if (start_journal(run) == -1)
		return BULKHEADD_EXIT_FAIL;
	have_id = journal_identity_get(sup->journal, 0, &id);
	have_budget = journal_budget_get(sup->journal, &budget);
	sup->resolve = resolve_new(sup->loop, sup->cfg->resolv_conf);
	run->due = timer_new(sup->loop, run_on_due, run);
	run->due_ms = UINT64_MAX;
	sup->queue = queue_new(sup->journal, &run_queue_ops, run, sup->cfg->poison);
	queue_last_word(sup->queue, sup->cfg->last_word_ms);
	for (size_t i = 0; i < sup->cfg->pools_n; i++)
		queue_pool_add(sup->queue, &sup->cfg->pools[i]);
	stale_set_aside(sup->journal, sup->cfg->stale_ms, clock_wall_ms(),
	    run_queue_ops.on_aside, run);
	queue_recover(sup->queue);
	loop_tail(sup->loop, run_tail, run);
	sup->calls = calls_new(sup->loop, sup->cfg, sup->journal);
	sup->streams = streams_new(sup->loop, sup->journal, sup->cfg->poison, STREAMS_ORPHAN_MS);
	streams_recover(sup->streams);
	calls_follow(sup->calls, run_follow_active, run);
	sup->poolcalls = poolcalls_new(sup->loop);
	sup->snapshot = snapshot_new(sup, SNAPSHOT_MS);
	sup->reload = reload_new(sup);
	sup->upgrade = upgrade_new(run, run->former.from[0] == '\0' ? NULL : &run->former, run->exe);
	sup->pools = pools_new(sup->loop, sup->cfg, sup->conf, sup->journal, run->worker,
	    &run_pools_ops, run);
	pools_users(sup->pools, &run->privs);
	pools_say_lacks(sup->pools);
	pools_leftovers(sup->pools, on_leftovers_gone, run);
	path = mem_printf("%s/control.sock", sup->cfg->runtime_dir);
	sup->control = control_new(sup, path, run->former.control_fd, &why);
	run->former.control_fd = -1;
	free(path);
	if (sup->control == NULL) {
		log_err("cannot make the control socket: %s", why);
		return BULKHEADD_EXIT_FAIL;
	}
	start_notify(sup);
	if (have_id)
		pools_self(sup->pools, id.user_id, id.application_id, id.shards);
	pools_start(sup->pools);
	if (!sup->no_gateway) {
		sup->fetchgap = fetchgap_new(sup->loop, sup->cfg, sup->journal, sup->queue,
		    sup->calls);
		fetchgap_start(sup->fetchgap, have_id && id.session_id[0] != '\0');
		sup->gw = gw_new(sup->loop, sup->resolve, sup->cfg, have_id ? &id : NULL,
		    have_budget ? &budget : NULL, &run_gw_ops, run);
		(void)gw_presence(sup->gw, journal_presence_get(sup->journal));
		n = journal_channels(sup->journal, known, sizeof(known) / sizeof(*known));
		for (size_t i = 0; i < n; i++)
			gw_know_guild(sup->gw, known[i].guild);
		if (!have_id || id.session_id[0] == '\0')
			timer_arm_ms(run->patience, sup->cfg->start_patience_ms);
		gw_start(sup->gw);
	}
	return 0;
}

void
run_free(struct run *run)
{
	struct sup	*sup = &run->sup;

	notify_free(&sup->notify);
	if (sup->control != NULL)
		control_free(&sup->control);
	if (sup->gw != NULL)
		gw_free(&sup->gw);
	fetchgap_free(&sup->fetchgap);
	if (sup->pools != NULL)
		pools_free(&sup->pools);
	upgrade_free(&sup->upgrade);
	reload_free(&sup->reload);
	snapshot_free(&sup->snapshot);
	poolcalls_free(&sup->poolcalls);
	streams_free(&sup->streams);
	if (sup->calls != NULL)
		calls_free(&sup->calls);
	if (sup->queue != NULL)
		queue_free(&sup->queue);
	if (sup->resolve != NULL)
		resolve_free(&sup->resolve);
	if (sup->journal != NULL)
		journal_close(&sup->journal);
	if (run->bound != NULL)
		timer_free(&run->bound);
	if (run->due != NULL)
		timer_free(&run->due);
	if (run->patience != NULL)
		timer_free(&run->patience);
	for (size_t i = 0; i < sizeof(run->signals) / sizeof(*run->signals); i++)
		if (run->signals[i] != NULL)
			sigwatch_free(&run->signals[i]);
	if (sup->orphans != NULL)
		orphans_kill();
	orphans_free(&sup->orphans);
	log_detach();
	if (sup->loop != NULL)
		loop_free(&sup->loop);
	if (run->lock_fd != -1)
		close(run->lock_fd);
	cfg_unload(&sup->cfg);
	secret_forget();
}
