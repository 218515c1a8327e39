/*
 * bulkheadd - options, the configuration child, and a life: start, loop, stop.
 */
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libwebsockets.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "common/confine.h"
#include "common/fault.h"
#include "common/log.h"
#include "proto/contract.h"
#include "supervisor/init.h"
#include "supervisor/policy.h"
#include "supervisor/site.h"
#include "supervisor/run.h"
#include "supervisor/upgrade.h"
#include "supervisor/xdoc.h"

#define CONF_DEFAULT	"/etc/bulkhead/bulkhead.conf"

static void
usage(FILE *to)
{
	fprintf(to,
	    "usage: bulkheadd [-c FILE] [-T CLASS,...] [--no-gateway] [--faults]\n"
	    "       bulkheadd -n [-c FILE]          check the configuration and exit\n"
	    "       bulkheadd --init [-c FILE]      ask five questions, write the configuration\n"
	    "       bulkheadd -x proto|options|counters|histograms|commands|errors|events|faults|lanes|moments|reasons\n"
	    "\n"
	    "  -c, --config FILE   configuration, default " CONF_DEFAULT "\n"
	    "  -n, --check         read the configuration, say what is wrong with it or what it amounts to,\n"
	    "                      exit %d or 0\n"
	    "      --init          write FILE from five answers; never over one that is there\n"
	    "  -T, --trace LIST    trace classes: gateway, route, rest, chat, chan, or all\n"
	    "      --no-gateway    start everything but the connection to Discord's gateway\n"
	    "      --ready-fd N    a newline on descriptor N says that it is ready (s6)\n"
	    "      --faults        let `bulkheadctl fault` arm fault points\n"
	    "  -x, --explain WHAT  print a table of proto/ as markdown\n"
	    "  -V, --version       print versions\n"
	    "  -h, --help          this\n",
	    BULKHEADD_EXIT_CONFIG);
}

static void
versions(char *dst, size_t bytes)
{
	snprintf(dst, bytes, "bulkheadd %s protocol=%d libevent=%s libwebsockets=%s zlib=%s msgpack=%s",
	    BULKHEAD_VERSION, PROTO_VERSION, event_get_version(), lws_get_library_version(),
	    zlibVersion(), msgpack_version());
}

#ifdef __SANITIZE_ADDRESS__
static void
show_memory(void)
{
	prctl(PR_SET_DUMPABLE, 1);
}
#endif

/* Before the token is read: no core, no ptrace, no /proc/PID/mem for others of our user. */
static void
keep_memory(void)
{
	prctl(PR_SET_DUMPABLE, 0);
#ifdef __SANITIZE_ADDRESS__
	(void)atexit(show_memory);		/* the leak checker traces us at the end */
#endif
}

/* Of a reload: the variables that the environment has forgotten; see cfg_read. */
static void
read_variables(void)
{
	struct stat	 st;
	struct buf	 in = { 0 };
	ssize_t		 n;

	if (fstat(STDIN_FILENO, &st) == -1 || !S_ISREG(st.st_mode))
		return;
	while ((n = read(STDIN_FILENO, buf_room(&in, 4096), 4096)) > 0)
		buf_added(&in, (size_t)n);
	cfg_vars_setenv(buf_span(&in));
	if (in.cap > 0)
		explicit_bzero(in.p, in.cap);
	buf_fini(&in);
}

/* `-x config`: the configuration child.  One frame payload on stdout. */
static int
config_child(const char *conf, bool need_token)
{
	struct buf	 out = { 0 };
	struct span	 s;
	const char	*why;
	int		 rc;

	read_variables();
	log_init("config", STDERR_FILENO, LOG_ERR);
	if (fault_init("config", getenv("BULKHEAD_FAULTS"), &why) == -1)
		log_err("BULKHEAD_FAULTS: %s", why);
	if (fault_hits(FAULT_CONFIG_FREEZE, span_of(conf)))
		(void)usleep((useconds_t)(fault_arg(FAULT_CONFIG_FREEZE, 60000) * 1000));
	rc = cfg_check_file(conf, need_token, &out);
	for (s = buf_span(&out); s.n > 0;) {
		ssize_t	 n = write(STDOUT_FILENO, s.p, s.n);

		if (n <= 0)
			return BULKHEADD_EXIT_FAIL;
		s.p += n;
		s.n -= (size_t)n;
	}
	buf_fini(&out);
	return rc == 0 ? 0 : BULKHEADD_EXIT_CONFIG;
}

/* What was printed has to arrive: a full disk is a failure. */
static int
printed(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return BULKHEADD_EXIT_OK;
	warn("stdout");
	return BULKHEADD_EXIT_FAIL;
}

static void
print_policy(const struct cfg *cfg, const char *conf)
{
	struct buf	 text = { 0 };
	struct span	 s;

	(void)policy_put(cfg, privs_stays_root(cfg), &text);
	(void)site_put(cfg, conf, &text);
	(void)policy_put_lacks(cfg, (uint64_t)confine_landlock(), &text);
	s = buf_span(&text);
	(void)fwrite(s.p, 1, s.n, stdout);
	buf_fini(&text);
}

/* Of --ready-fd: open, not a standard one, and closed to what we start. */
static bool
is_descriptor(const char *text, int *fd_r)
{
	uint64_t	 n;

	if (!span_u64(span_of(text), &n) || n <= STDERR_FILENO || n > INT_MAX ||
	    fcntl((int)n, F_SETFD, FD_CLOEXEC) == -1)
		return false;
	*fd_r = (int)n;
	return true;
}

/* What no other way of this program can do without; a container's filter may lack it too. */
static const char *
what_is_missing(void)
{
	int	 fd;

	if (access("/proc/self/exe", X_OK) == -1)
		return "/proc is not mounted here: it is needed to start workers and to watch them";
	if ((fd = pidfd_open(getpid(), 0)) == -1 || pidfd_send_signal(fd, 0, NULL, 0) == -1)
		return "there is no pidfd_open here: Linux 5.3 has it; a container's seccomp profile must"
		    " allow it, and pidfd_send_signal";
	close(fd);
	return NULL;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 'n' },
		{ "init", no_argument, NULL, 'I' },
		{ "trace", required_argument, NULL, 'T' },
		{ "explain", required_argument, NULL, 'x' },
		{ "no-gateway", no_argument, NULL, 'g' },
		{ "faults", no_argument, NULL, 'F' },
		{ "ready-fd", required_argument, NULL, 'r' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct run	 run = { .sup.conf = CONF_DEFAULT, .sup.ready_fd = -1, .lock_fd = -1, .former.lock_fd = -1,
	    .former.control_fd = -1,
		.told_at = MONO_NEVER };
	struct sup	*sup = &run.sup;
	const char	*explain = NULL, *trace = NULL, *why;
	char		*errors = NULL, text[256];
	static const int held[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 };
	bool		 check = false, init = false, handed;
	sigset_t	 block, end;
	int		 ch, end_fd;

	run.argv = argv;
	log_std_fds();
	handed = handover_take(&run.former);
	while ((ch = getopt_long(argc, argv, "c:nT:x:Vh", options, NULL)) != -1) {
		switch (ch) {
		case 'c': sup->conf = optarg; break;
		case 'n': check = true; break;
		case 'I': init = true; break;
		case 'T': trace = optarg; break;
		case 'x': explain = optarg; break;
		case 'g': sup->no_gateway = true; break;
		case 'F': sup->faults = true; break;
		case 'r':
			if (handed)		/* it was told, and is closed */
				break;
			if (!is_descriptor(optarg, &sup->ready_fd)) {
				warnx("--ready-fd %s: not an open descriptor above 2", optarg);
				return BULKHEADD_EXIT_USAGE;
			}
			break;
		case 'V':
			versions(text, sizeof(text));
			puts(text);
			return printed();
		case 'h':
			usage(stdout);
			return printed();
		default:
			usage(stderr);
			return BULKHEADD_EXIT_USAGE;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return BULKHEADD_EXIT_USAGE;
	}
	keep_memory();
	if (init)
		return init_main(sup->conf);
	if (explain != NULL && strcmp(explain, "config") == 0)
		return config_child(sup->conf, !sup->no_gateway);
	if (explain != NULL)
		return xdoc_main(explain);

	if (trace != NULL && log_trace_classes(trace) == -1) {
		warnx("-T %s: there are %s", trace, log_trace_class_names());
		return BULKHEADD_EXIT_USAGE;
	}

	/* A signal that comes while we start waits for the loop. */
	sigemptyset(&block);
	for (size_t i = 0; i < sizeof(held) / sizeof(*held); i++)
		sigaddset(&block, held[i]);
	sigprocmask(SIG_BLOCK, &block, NULL);
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);	/* a handler that takes the terminal stops no line of ours, and so us */
	log_init("bulkheadd", STDERR_FILENO, LOG_INFO);
	if ((why = what_is_missing()) != NULL) {
		warnx("%s", why);
		return BULKHEADD_EXIT_FAIL;
	}
	end_fd = signalfd(-1, &end, SFD_CLOEXEC | SFD_NONBLOCK);
	sup->cfg = cfg_load("/proc/self/exe", sup->conf, !sup->no_gateway, end_fd, &errors);
	if (end_fd != -1)
		close(end_fd);
	if (sup->cfg == NULL && errors == NULL) {
		log_notice("stopped while reading the configuration");
		return check ? BULKHEADD_EXIT_FAIL : BULKHEADD_EXIT_OK;
	}
	if (sup->cfg == NULL) {
		fprintf(stderr, "%s\n", errors);
		if (access(sup->conf, F_OK) == -1 && errno == ENOENT)
			fprintf(stderr, "bulkheadd --init writes one; -c names another\n");
		free(errors);
		return BULKHEADD_EXIT_CONFIG;
	}
	if (privs_find(sup->cfg, &run.privs, text, sizeof(text)) == -1) {
		warnx("%s: %s", sup->conf, text);
		cfg_unload(&sup->cfg);
		return BULKHEADD_EXIT_CONFIG;
	}
	if (check) {
		ch = BULKHEADD_EXIT_OK;
		(void)run_find_worker(&run);
		if (handed && upgrade_check(&run.former, sup->cfg, run.worker) == -1)
			ch = BULKHEADD_EXIT_FAIL;
		else
			printf("%s: ok\n", sup->conf);
		if (ch == BULKHEADD_EXIT_OK && !handed)
			print_policy(sup->cfg, sup->conf);
		cfg_unload(&sup->cfg);
		return ch == BULKHEADD_EXIT_OK ? printed() : ch;
	}
	log_level(log_level_of(sup->cfg->log_level));
	log_format(log_format_of(sup->cfg->log_format));
	if (fault_init("supervisor", getenv("BULKHEAD_FAULTS"), &why) == -1) {
		log_err("BULKHEAD_FAULTS: %s", why);
		cfg_unload(&sup->cfg);
		return BULKHEADD_EXIT_USAGE;
	}
	run.lock_fd = run.former.lock_fd;
	if (run_find_worker(&run) == -1) {
		log_err("cannot run %s: %s; it must lie beside bulkheadd", run.worker,
		    strerror(errno));
		cfg_unload(&sup->cfg);
		return BULKHEADD_EXIT_FAIL;
	}
	if (privs_take(&run.privs, sup->cfg, sup->conf, text, sizeof(text)) == -1) {
		log_err("%s", text);
		cfg_unload(&sup->cfg);
		return BULKHEADD_EXIT_FAIL;
	}
	if (privs_stays_root(sup->cfg))
		log_notice("running as root: with user, rest_user and handler_user each part is its own user");
	sup->program = "/proc/self/exe";
	sup->started = clock_mono();
	sup->started_wall_ms = clock_wall_ms();
	versions(text, sizeof(text));
	log_notice("%s config=%016llx", text, (unsigned long long)sup->cfg->hash);

	run.status = run_start(&run);
	sigprocmask(SIG_UNBLOCK, &block, NULL);
	while (run.status == 0) {
		loop_run(sup->loop);
		if (!upgrade_due(sup->upgrade))
			break;
		/* A signal from here on is the successor's; one from before may call it off. */
		sigprocmask(SIG_BLOCK, &block, NULL);
		loop_turn(sup->loop);
		if (upgrade_due(sup->upgrade)) {
			upgrade_exec(&run, argv);
			return BULKHEADD_EXIT_FAIL;
		}
		sigprocmask(SIG_UNBLOCK, &block, NULL);
	}
	if (sup->loop != NULL)
		loop_turn(sup->loop);		/* the last words to who asked for the stop */
	log_notice("stopped status=%d", run.status);
	run_free(&run);
	return run.status;
}
