/*
 * bulkheadctl - words to one request, the answer to text, JSON and an exit status.
 *
 * A process of its own with one thing to do, so it blocks; every wait is bounded by one deadline.
 * It links common/ and proto/ only.
 */
#include <sys/ioctl.h>
#include <sys/un.h>

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/msg.h"
#include "proto/contract.h"
#include "supervisor/ctl/follow.h"
#include "supervisor/ctl/link.h"
#include "supervisor/ctl/output.h"
#include "supervisor/ctl/testworker.h"

#define SOCKET_DEFAULT	"/run/bulkhead/control.sock"
#define TIMEOUT_MS	60000
#define NO_COMMAND	"no command is called"	/* so an answer of the supervisor begins */
#define BODY_MAX	65536		/* messages.def: ASK.body */
#define TEST_WORKER	"test-worker"
#define LOOK_AGAIN_MS	20
#define AGAIN_MS	100
#define LOST_MAX	5		/* answers that one may lose, before it gives up */
#define LAST_MS		2000		/* from the end of the socket to the end of the process */

struct command {
	const char	*name, *args;
	size_t		 min, max;
	bool		 change;
	const char	*help;
};

#define READ	false
#define CHANGE	true
static const struct command commands[] = {
#define CMD(name, args, min, max, privilege, help) { #name, args, min, max, privilege, help },
#include "proto/ctlcmds.def"
#undef CMD
};
#undef READ
#undef CHANGE
#define COMMANDS_N	(sizeof(commands) / sizeof(*commands))

/* ---- help ---- */

static void
print_command(FILE *f, const struct command *c)
{
	int	 used = fprintf(f, "  %s %s", c->name, c->args);

	/* One that is too long for its column has its help on the next line. */
	fprintf(f, "%s%*s%s\n", used > 42 ? "\n" : "", used > 42 ? 43 : 43 - used, "", c->help);
}

static void
print_help(FILE *f)
{
	fputs("usage: bulkheadctl [-j] [-s SOCKET | -i NAME] [--wait|--no-wait] [--timeout SECS] COMMAND"
	    " [ARGUMENTS]\n\n"
	    "commands:\n", f);
	for (size_t i = 0; i < COMMANDS_N; i++)
		print_command(f, &commands[i]);
	print_command(f, &(const struct command){ .name = "help", .args = "[COMMAND]",
	    .help = "this, or one command" });
	print_command(f, &(const struct command){ .name = "POOL", .args = "VERB [TEXT]",
	    .help = "ask a pool, e.g. chat try \"hello\"" });
	print_command(f, &(const struct command){ .name = TEST_WORKER, .args = "PROGRAM [ARGUMENTS]",
	    .help = "does a program keep the protocol?  Needs no supervisor" });
	fputs("\noptions:\n"
	    "  -s, --socket SOCKET   control socket; default $BULKHEAD_SOCKET, else\n"
	    "                        " SOCKET_DEFAULT "\n"
	    "  -i, --instance NAME   the bot of the unit bulkhead@NAME\n"
	    "  -j, --json            print the answer as JSON\n"
	    "      --wait, --no-wait whether to wait until what was started is done; default yes\n"
	    "      --timeout SECS    give up after so long (default 60)\n"
	    "      --color=WHEN      auto (a terminal, no $NO_COLOR), always, never\n"
	    "      --version, --help\n\n"
	    "exit status: 0 done, 1 failed, 64 usage, 66 no such pool, worker or message,\n"
	    "69 no supervisor answers, 75 not finished in time, 77 not allowed\n", f);
}

static const struct command *
command_find(const char *name)
{
	for (size_t i = 0; i < COMMANDS_N; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void __attribute__((noreturn))
unknown_command(const char *name)
{
	const char	*names[COMMANDS_N], *near;

	for (size_t i = 0; i < COMMANDS_N; i++)
		names[i] = commands[i].name;
	if ((near = span_nearest(span_of(name), names, COMMANDS_N)) != NULL)
		errx(CTL_EXIT_USAGE, "no command is called '%s'; did you mean '%s'?", name, near);
	errx(CTL_EXIT_USAGE, "no command is called '%s'; see 'bulkheadctl help'", name);
}

static int
help(int argc, char **argv)
{
	const struct command	*c;

	if (argc < 2) {
		print_help(stdout);
		return CTL_EXIT_OK;
	}
	if (strcmp(argv[1], TEST_WORKER) == 0) {
		testworker_help(stdout);
		return CTL_EXIT_OK;
	}
	if ((c = command_find(argv[1])) == NULL)
		unknown_command(argv[1]);
	printf("usage: bulkheadctl %s%s%s\n%s\n%s\n", c->name, c->args[0] == '\0' ? "" : " ",
	    c->args, c->help, c->change ? "needs root or the user of the supervisor" :
	    "root, the user of the supervisor and its group may ask");
	return CTL_EXIT_OK;
}

static void __attribute__((noreturn))
usage_of(const struct command *c)
{
	errx(CTL_EXIT_USAGE, "usage: bulkheadctl %s%s%s", c->name, c->args[0] == '\0' ? "" : " ",
	    c->args);
}

/* The socket ends with the supervisor's last step; its pid is the proof. */
static void
wait_for_end(struct ctl *ctl)
{
	struct buf	 in = { 0 };
	struct mono	 last;

	while (link_read(ctl, &in) == 1)
		buf_reset(&in);
	buf_fini(&in);
	if (ctl->pidfd == -1)
		return;
	last = mono_add_ms(clock_mono(), LAST_MS);
	if (mono_before(last, ctl->deadline))
		ctl->deadline = last;
	if (link_wait(ctl, ctl->pidfd, POLLIN) == 0)
		link_timed_out(ctl);
}

/* ---- upgrade: the supervisor that was asked is not the one that knows how it went ---- */

/* An upgrade keeps the process: one that has ended takes the upgrade along. */
static void
be_alive(const struct ctl *ctl)
{
	struct pollfd	 p = { .fd = ctl->pidfd, .events = POLLIN };

	if (ctl->pidfd != -1 && poll(&p, 1, 0) == 1)
		errx(CTL_EXIT_FAILED, "the supervisor ended in the middle of the upgrade; whoever"
		    " starts it again starts what is on disk: see 'bulkheadctl status'");
}

/* Wait for the process with this number to be live; its own words are the answer. */
static int
wait_for_next(struct ctl *ctl)
{
	json_t		*was = json_loadb(buf_span(&ctl->doc).p, ctl->doc.n, 0, NULL);
	json_int_t	 number = json_integer_value(json_object_get(was, "number"));
	json_t		*doc, *up;
	char		*text;
	int		 status = -1;

	json_decref(was);
	while (status == -1) {
		if (mono_ms_until(clock_mono(), ctl->deadline) == 0)
			link_timed_out(ctl);
		doc = link_status(ctl);
		up = json_object_get(doc, "upgrade");
		if (json_is_object(up) &&
		    json_integer_value(json_object_get(up, "number")) >= number &&
		    json_is_true(json_object_get(up, "done"))) {
			text = json_dumps(up, JSON_COMPACT);
			buf_reset(&ctl->doc);
			buf_add_span(&ctl->doc, span_of(text));
			free(text);
			status = json_is_string(json_object_get(up, "failed")) ? CTL_EXIT_FAILED :
			    CTL_EXIT_OK;
			span_copy(span_of(status == CTL_EXIT_OK ? "" :
			    json_string_value(json_object_get(up, "failed"))), ctl->why,
			    sizeof(ctl->why));
		} else {
			be_alive(ctl);
			(void)poll(NULL, 0, LOOK_AGAIN_MS);
		}
		json_decref(doc);
	}
	return status;
}

/* ---- printing ---- */

static enum { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER }	 color;

static bool
wants_color(void)
{
	const char	*no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (color != COLOR_AUTO)
		return color == COLOR_ALWAYS;
	if (no != NULL && *no != '\0')
		return false;
	return isatty(STDOUT_FILENO) && (term == NULL || strcmp(term, "dumb") != 0);
}

static void
print_json(struct ctl *ctl, int status)
{
	struct span	 doc = buf_span(&ctl->doc);
	json_t		*o;

	if (doc.n > 0) {
		fwrite(doc.p, 1, doc.n, stdout);
	} else {
		o = json_pack("{s:i, s:s}", "status", status, "why", ctl->why);
		if (o != NULL)
			json_dumpf(o, stdout, JSON_COMPACT);
		json_decref(o);
	}
	putchar('\n');
}

/* Columns of the terminal; what goes to a file or a pipe has a hundred. */
static size_t
width(void)
{
	struct winsize	 w;

	if (!isatty(STDOUT_FILENO))
		return 100;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == -1 || w.ws_col == 0)
		return 80;
	return w.ws_col < 40 ? 40 : w.ws_col;
}

static void
look_now(struct look *look)
{
	*look = (struct look){ .color = wants_color(), .width = width() };
}

static void
print_text(struct ctl *ctl, const char *verb, const char *topic)
{
	struct look	 look;
	struct span	 doc = buf_span(&ctl->doc);
	json_t		*o;

	if (doc.n == 0)
		return;
	if ((o = json_loadb(doc.p, doc.n, JSON_DECODE_ANY, NULL)) == NULL) {
		/* A number that jansson does not hold, say: the bytes are still worth showing. */
		fwrite(doc.p, 1, doc.n, stdout);
		putchar('\n');
		return;
	}
	look_now(&look);
	output_text(stdout, verb, topic, o, &look);
	json_decref(o);
}

/* What was printed has to arrive: a full disk is a failure, not an answer. */
static int
printed(int status)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		err(CTL_EXIT_FAILED, "stdout");
	return status;
}

/* ---- main ---- */

static void
read_stdin(struct buf *body)
{
	size_t	 n;

	do {
		n = fread(buf_room(body, 65536), 1, 65536, stdin);
		buf_added(body, n);
	} while (n > 0 && body->n <= BODY_MAX);
	if (ferror(stdin))
		err(CTL_EXIT_FAILED, "stdin");
}

/*
 * The words of the request; the body of `call` goes apart from them.
 *	words	the command and its arguments
 */
static void
make_words(int argc, char **argv, struct buf *words, struct buf *body)
{
	bool	 call = strcmp(argv[0], "call") == 0;

	for (int i = 0; i < argc; i++) {
		if (call && i == 3) {
			if (strcmp(argv[i], "-") == 0)
				read_stdin(body);
			else
				buf_add_span(body, span_of(argv[i]));
		} else {
			msg_list_str(words, span_of(argv[i]));
		}
	}
	if (body->n > BODY_MAX)
		errx(CTL_EXIT_USAGE, "a body has at most %d bytes", BODY_MAX);
}

static size_t
flags_n(const struct ctl *ctl)
{
	struct msg_list_iter	 it = { buf_span(&ctl->flags), 0 };
	struct span		 flag;
	size_t			 n = 0;

	while (msg_list_more(&it) && msg_list_next_str(&it, &flag))
		n++;
	return n;
}

/* Was nothing done of what was asked, only because one supervisor becomes the next? */
static bool
came_between(const struct ctl *ctl, int status, const char *verb)
{
	return status == LINK_LOST || (status == CTL_EXIT_FAILED && ctl->doc.n == 0 &&
	    strncmp(ctl->why, CTL_UPGRADING, strlen(CTL_UPGRADING)) == 0 &&
	    strcmp(verb, "upgrade") != 0);
}

/*
 * Ask, and wait for the answer.  What an upgrade came between is asked again: the socket stays
 * through it.  A follower waits for the next supervisor however long it takes.
 */
static int
exchange(struct ctl *ctl, const struct msg_ASK *ask, const char *verb)
{
	bool	 follows = ctl->on_say != NULL, told = false;
	int	 status;

	for (unsigned lost = 0;; lost++) {
		while (link_dial(ctl) == -1) {
			if (!told)
				warnx("no supervisor answers on %s: waiting for it", ctl->path);
			told = true;
			if (mono_ms_until(clock_mono(), ctl->deadline) == 0)
				link_timed_out(ctl);
			(void)poll(NULL, 0, AGAIN_MS);
		}
		told = false;
		link_ask(ctl, ask);
		status = link_answer(ctl);
		if (!came_between(ctl, status, verb))
			return status;
		if (mono_ms_until(clock_mono(), ctl->deadline) == 0)
			link_timed_out(ctl);
		if (status == LINK_LOST && !follows && lost == LOST_MAX)
			errx(CTL_EXIT_UNREACHABLE, "the supervisor closed the connection before it had"
			    " answered");
		link_close(ctl);
		buf_reset(&ctl->doc);
		ctl->soft = follows;
		(void)poll(NULL, 0, AGAIN_MS);
	}
}

static int
ask(struct ctl *ctl, int argc, char **argv)
{
	struct buf	 words = { 0 }, body = { 0 };
	int		 status;

	make_words(argc, argv, &words, &body);
	buf_add_span(&words, buf_span(&ctl->flags));
	ctl->deadline = mono_add_ms(clock_mono(), ctl->timeout_ms);
	if (strcmp(argv[0], "monitor") == 0)
		ctl->on_say = follow_moment;
	ctl->again = ctl->reads;
	status = exchange(ctl, &(struct msg_ASK){ .version = PROTO_VERSION, .wait = ctl->wait,
	    .words = msg_list_of(&words), .body = buf_span(&body) }, argv[0]);
	buf_fini(&words);
	buf_fini(&body);
	if (ctl->on_say != NULL) {
		if (status != 0)
			warnx("%s", ctl->why);
		return printed(status);
	}
	if (status == CTL_EXIT_USAGE && command_find(argv[0]) != NULL &&
	    strncmp(ctl->why, NO_COMMAND, strlen(NO_COMMAND)) == 0)
		snprintf(ctl->why, sizeof(ctl->why), "the supervisor is of an older release, which does"
		    " not know '%s'; 'bulkheadctl upgrade' starts the one that is installed", argv[0]);
	if (status == 0 && strcmp(argv[0], "stop") == 0 && ctl->wait) {
		wait_for_end(ctl);
		strlcpy(ctl->why, "stopped", sizeof(ctl->why));
	}
	if (status == 0 && strcmp(argv[0], "upgrade") == 0 && ctl->wait)
		status = wait_for_next(ctl);
	if (ctl->json)
		print_json(ctl, status);
	else
		print_text(ctl, argv[0], argc > 1 ? argv[1] : "");
	if (status != 0) {
		fflush(stdout);
		warnx("%s", ctl->why);
	} else if (!ctl->json && ctl->doc.n == 0 && ctl->why[0] != '\0') {
		puts(ctl->why);
	}
	buf_fini(&ctl->doc);
	buf_fini(&ctl->flags);
	link_close(ctl);
	return printed(status);
}

/* Its options belong to it, and those of the program behind them to the program. */
static int
find_test_worker(int argc, char **argv)
{
	static const char *const	 with_value[] = { "-s", "--socket", "-i", "--instance", "--timeout" };
	int				 i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++)
		for (size_t k = 0; k < sizeof(with_value) / sizeof(with_value[0]); k++)
			if (strcmp(argv[i], with_value[k]) == 0) {
				i++;
				break;
			}
	return i < argc && strcmp(argv[i], TEST_WORKER) == 0 ? i : argc;
}

/* Where the unit bulkhead@NAME has its socket. */
static const char *
instance_socket(const char *name)
{
	static char	 path[sizeof(((struct sockaddr_un *)0)->sun_path)];

	if (name[0] == '\0' || strchr(name, '/') != NULL || (size_t)snprintf(path, sizeof(path),
	    "/run/bulkhead-%s/control.sock", name) >= sizeof(path))
		errx(CTL_EXIT_USAGE, "-i %s: not the name of an instance", name);
	return path;
}

int
main(int argc, char **argv)
{
	/* OPT_FLAG: goes to the supervisor, as the last of the words. */
	enum { OPT_NO_WAIT = 256, OPT_WAIT, OPT_TIMEOUT, OPT_VERSION, OPT_COLOR, OPT_WATCH, OPT_FLAG };
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "instance", required_argument, NULL, 'i' },
		{ "json", no_argument, NULL, 'j' },
		{ "no-wait", no_argument, NULL, OPT_NO_WAIT },
		{ "wait", no_argument, NULL, OPT_WAIT },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "color", optional_argument, NULL, OPT_COLOR },
		{ "watch", no_argument, NULL, OPT_WATCH },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "help", no_argument, NULL, 'h' },
		{ "now", no_argument, NULL, OPT_FLAG },
		{ "rolling", no_argument, NULL, OPT_FLAG },
		{ "final", no_argument, NULL, OPT_FLAG },
		{ "force", no_argument, NULL, OPT_FLAG },
		{ NULL, 0, NULL, 0 },
	};
	const struct command	*c;
	const char		*env = getenv("BULKHEAD_SOCKET"), *bad;
	struct ctl		 ctl = {
		.path = env == NULL || *env == '\0' ? SOCKET_DEFAULT : env,
		.wait = true, .timeout_ms = TIMEOUT_MS,
	};
	bool			 watch = false, bounded = false;
	char			 flag[16];
	int			 ch, at, test = find_test_worker(argc, argv);

	log_std_fds();
	while ((ch = getopt_long(test, argv, "s:i:jh", options, &at)) != -1) {
		switch (ch) {
		case OPT_FLAG:
			snprintf(flag, sizeof(flag), "--%s", options[at].name);
			msg_list_str(&ctl.flags, span_of(flag));
			break;
		case 's':
			ctl.path = optarg;
			break;
		case 'i':
			ctl.path = instance_socket(optarg);
			break;
		case 'j':
			ctl.json = true;
			break;
		case OPT_NO_WAIT:
		case OPT_WAIT:
			ctl.wait = ch == OPT_WAIT;
			break;
		case OPT_TIMEOUT:
			bounded = true;
			ctl.timeout_ms = (uint64_t)strtonum(optarg, 1, 86400, &bad) * 1000;
			if (bad != NULL)
				errx(CTL_EXIT_USAGE, "--timeout %s: %s", optarg, bad);
			break;
		case OPT_COLOR:
			if (optarg == NULL || strcmp(optarg, "always") == 0)
				color = COLOR_ALWAYS;
			else if (strcmp(optarg, "never") == 0)
				color = COLOR_NEVER;
			else if (strcmp(optarg, "auto") == 0)
				color = COLOR_AUTO;
			else
				errx(CTL_EXIT_USAGE, "--color is auto, always or never");
			break;
		case OPT_WATCH:
			watch = true;
			break;
		case OPT_VERSION:
			puts("bulkheadctl " BULKHEAD_VERSION);
			return printed(CTL_EXIT_OK);
		case 'h':
			print_help(stdout);
			return printed(CTL_EXIT_OK);
		default:
			fputs("see 'bulkheadctl --help'\n", stderr);
			return CTL_EXIT_USAGE;
		}
	}
	if (test < argc)
		return printed(testworker_main(argc - test, argv + test, ctl.json));
	argc -= optind;
	argv += optind;
	if (argc == 0) {
		print_help(stderr);
		return CTL_EXIT_USAGE;
	}
	if (strcmp(argv[0], "help") == 0)
		return printed(help(argc, argv));
	/* With words behind it, it may be a pool: the supervisor knows. */
	if ((c = command_find(argv[0])) == NULL && argc < 2)
		unknown_command(argv[0]);
	if (c == NULL)
		return ask(&ctl, argc, argv);
	if ((size_t)argc - 1 < c->min || (size_t)argc - 1 + flags_n(&ctl) > c->max)
		usage_of(c);
	ctl.reads = !c->change;
	if (watch && strcmp(c->name, "status") != 0)
		errx(CTL_EXIT_USAGE, "--watch is for status");
	if (watch || strcmp(c->name, "monitor") == 0)
		follow_begin(&ctl, bounded);
	if (watch)
		return printed(follow_status(&ctl, look_now));
	return ask(&ctl, argc, argv);
}
