/*
 * testworker - see testworker.h: which checks, for which event, and what is printed of them.
 */
#include <err.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/tables.h"
#include "proto/contract.h"
#include "supervisor/ctl/testchecks.h"
#include "supervisor/ctl/testworker.h"

#define TIMEOUT_MS	10000	/* any other answer */
#define ENV_MAX		64
#define LINES_SHOWN	6

/* ---- what is printed ---- */

static const char *const	 verdicts[] = { "ok", "failed", "skipped" };

/* The last lines that it wrote itself; borrowed from dst. */
static const char *
last_lines(const struct tl *t, char *dst, size_t dst_bytes)
{
	off_t	 end = t->err_fd == -1 ? 0 : lseek(t->err_fd, 0, SEEK_END);
	off_t	 at = end > (off_t)dst_bytes - 1 ? end - (off_t)dst_bytes + 1 : 0;
	ssize_t	 n = end <= 0 ? 0 : pread(t->err_fd, dst, dst_bytes - 1, at);
	char	*p;
	int	 lines = 0;

	n = n < 0 ? 0 : n;
	while (n > 0 && dst[n - 1] == '\n')
		n--;
	dst[n] = '\0';
	for (p = dst + n; p > dst; p--)
		if (p[-1] == '\n' && ++lines == LINES_SHOWN)
			break;
	return p;
}

static void
print_check(const struct check *c, const struct test *t)
{
	char	 text[4096];
	char	*line, *rest;

	printf("%-8s %-10s%s%s\n", verdicts[t->verdict], c->name, t->why[0] == '\0' ? "" : " ",
	    t->why);
	if (t->verdict != FAILED)
		return;
	rest = (char *)(uintptr_t)last_lines(&t->tl, text, sizeof(text));
	while ((line = strsep(&rest, "\n")) != NULL)
		if (*line != '\0')
			printf("         | %s\n", line);
}

static void
list_check(json_t *list, const struct check *c, const struct test *t, uint64_t ms)
{
	char	 text[4096];
	json_t	*o;

	o = json_pack("{s:s, s:s, s:s, s:I}", "name", c->name, "result", verdicts[t->verdict],
	    "why", t->why, "ms", (json_int_t)ms);
	if (o == NULL)		/* bytes of the program that are not UTF-8 */
		o = json_pack("{s:s, s:s, s:s, s:I}", "name", c->name, "result",
		    verdicts[t->verdict], "why", "?", "ms", (json_int_t)ms);
	if (t->verdict == FAILED)
		json_object_set_new(o, "stderr",
		    json_string(last_lines(&t->tl, text, sizeof(text))));
	json_array_append_new(list, o);
}

void
testworker_help(FILE *f)
{
	fputs("usage: bulkheadctl [-j] test-worker [OPTIONS] [--] PROGRAM [ARGUMENTS]\n"
	    "Does a program keep the protocol of workers?  Plays the supervisor; none has to run.\n"
	    "The program is started anew for each check:\n\n", f);
	for (size_t i = 0; i < checks_n; i++)
		fprintf(f, "  %-10s %s\n", checks[i].name, checks[i].help);
	fputs("\noptions:\n"
	    "      --only NAME,...     these checks alone\n"
	    "      --timeout SECS      longest wait for one answer (default 10)\n"
	    "      --event NAME        the event that is given (default MESSAGE_CREATE)\n"
	    "      --content TEXT      what the message says (default !ping)\n"
	    "      --body JSON         the body of the event; id and channel_id are put in\n"
	    "      --role NAME         role in HELLO (default: the program's name)\n"
	    "      --option NAME=VALUE option in HELLO; may be repeated\n"
	    "      --env NAME=VALUE    more of an environment; may be repeated\n\n"
	    "exit status: 0 nothing failed, 1 something did, 64 usage\n", f);
}

/* ---- the run ---- */

static json_t *
make_body(const char *text, const char *content)
{
	json_error_t	 error;
	json_t		*body;
	char		 stamp[40];

	if (text != NULL) {
		body = json_loads(text, 0, &error);
		if (body == NULL)
			errx(CTL_EXIT_USAGE, "--body is not a JSON object: %s", error.text);
		if (json_is_object(body))
			return body;
		json_decref(body);
		errx(CTL_EXIT_USAGE, "--body is not a JSON object: it is something else");
	}
	(void)clock_iso(clock_wall_ms(), stamp, sizeof(stamp));
	body = json_pack("{s:i, s:s, s:s, s:n, s:b, s:b, s:[], s:[], s:[], s:[], s:b, s:i,"
	    " s:{s:s, s:s, s:s, s:n, s:n}}", "type", 0, "content", content, "timestamp", stamp,
	    "edited_timestamp", "tts", 0, "mention_everyone", 0, "mentions", "mention_roles",
	    "attachments", "embeds", "pinned", 0, "flags", 0, "author", "id",
	    "1000000000000000002", "username", "tester", "discriminator", "0", "global_name",
	    "avatar");
	if (body == NULL)
		errx(CTL_EXIT_USAGE, "--content is not UTF-8");
	return body;
}

static bool
is_chosen(const char *only, const char *name)
{
	size_t	 n;

	for (; only != NULL && *only != '\0'; only += n + strspn(only + n, ",")) {
		n = strcspn(only, ",");
		if (strlen(name) == n && strncmp(only, name, n) == 0)
			return true;
	}
	return only == NULL;
}

static void
check_names(const char *only)
{
	char	*copy = mem_strdup(only), *rest = copy, *name;
	size_t	 i;

	while ((name = strsep(&rest, ",")) != NULL) {
		for (i = 0; i < checks_n && strcmp(name, checks[i].name) != 0; i++)
			continue;
		if (i == checks_n)
			errx(CTL_EXIT_USAGE, "no check is called '%s'; see"
			    " 'bulkheadctl help test-worker'", name);
	}
	free(copy);
}

static int
run(struct test *t, const char *only, bool json)
{
	size_t		 n[3] = { 0 };
	json_t		*list = json_array(), *doc;
	struct mono	 began;

	for (size_t i = 0; i < checks_n; i++) {
		if (!is_chosen(only, checks[i].name))
			continue;
		began = clock_mono();
		t->verdict = OK;
		t->why[0] = '\0';
		checks[i].run(t);
		tl_kill(&t->tl);
		n[t->verdict]++;
		if (json)
			list_check(list, &checks[i], t, mono_ms_between(began, clock_mono()));
		else
			print_check(&checks[i], t);
		(void)fflush(stdout);
		tl_end(&t->tl);
	}
	doc = json_pack("{s:s, s:o, s:I, s:I, s:I}", "program", t->spec.argv[0], "checks", list,
	    "ok", (json_int_t)n[OK], "failed", (json_int_t)n[FAILED],
	    "skipped", (json_int_t)n[SKIPPED]);
	if (json && doc != NULL) {
		json_dumpf(doc, stdout, JSON_COMPACT);
		putchar('\n');
	} else if (!json) {
		printf("%zu ok, %zu failed, %zu skipped\n", n[OK], n[FAILED], n[SKIPPED]);
	}
	json_decref(doc);
	return n[FAILED] == 0 ? CTL_EXIT_OK : CTL_EXIT_FAILED;
}

static void
add_option(struct buf *options, const char *text)
{
	size_t	 n = strcspn(text, "=");

	if (n == 0 || text[n] == '\0')
		errx(CTL_EXIT_USAGE, "--option %s is not NAME=VALUE", text);
	msg_list_str(options, span_make(text, n));
	msg_list_str(options, span_of(text + n + 1));
}

int
testworker_main(int argc, char **argv, bool json)
{
	enum { OPT_ONLY = 256, OPT_TIMEOUT, OPT_EVENT, OPT_CONTENT, OPT_BODY, OPT_ROLE, OPT_OPTION,
	    OPT_ENV };
	static const struct option longs[] = {
		{ "only", required_argument, NULL, OPT_ONLY },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "event", required_argument, NULL, OPT_EVENT },
		{ "content", required_argument, NULL, OPT_CONTENT },
		{ "body", required_argument, NULL, OPT_BODY },
		{ "role", required_argument, NULL, OPT_ROLE },
		{ "option", required_argument, NULL, OPT_OPTION },
		{ "env", required_argument, NULL, OPT_ENV },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	static struct test	 t;
	const char		*only = NULL, *body = NULL, *content = "!ping", *bad, *slash;
	char			*env[ENV_MAX], role[65];
	struct buf		 options = { 0 };
	int			 ch, status;

	t.timeout_ms = TIMEOUT_MS;
	t.event = "MESSAGE_CREATE";
	optind = 0;		/* main has used it for its own */
	while ((ch = getopt_long(argc, argv, "+jh", longs, NULL)) != -1) {
		switch (ch) {
		case OPT_ONLY:
			check_names(only = optarg);
			break;
		case OPT_TIMEOUT:
			t.timeout_ms = (uint64_t)strtonum(optarg, 1, 3600, &bad) * 1000;
			if (bad != NULL)
				errx(CTL_EXIT_USAGE, "--timeout %s: %s", optarg, bad);
			break;
		case OPT_EVENT:
			if (table_event(span_of(optarg)) == NULL)
				errx(CTL_EXIT_USAGE, "--event %s: see bulkheadd -x events", optarg);
			t.event = optarg;
			break;
		case OPT_CONTENT:
			content = optarg;
			break;
		case OPT_BODY:
			body = optarg;
			break;
		case OPT_ROLE:
			t.spec.role = optarg;
			break;
		case OPT_OPTION:
			add_option(&options, optarg);
			break;
		case OPT_ENV:
			if (strchr(optarg, '=') == NULL || t.spec.env_n == ENV_MAX)
				errx(CTL_EXIT_USAGE, "--env %s is not NAME=VALUE, or one too many",
				    optarg);
			env[t.spec.env_n++] = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			testworker_help(stdout);
			return CTL_EXIT_OK;
		default:
			fputs("see 'bulkheadctl help test-worker'\n", stderr);
			return CTL_EXIT_USAGE;
		}
	}
	if (optind == argc) {
		testworker_help(stderr);
		return CTL_EXIT_USAGE;
	}
	t.spec.argv = argv + optind;
	t.spec.env = env;
	slash = strrchr(argv[optind], '/');
	(void)strlcpy(role, t.spec.role != NULL ? t.spec.role :
	    slash != NULL ? slash + 1 : argv[optind], sizeof(role));
	t.spec.role = role;
	t.spec.options = msg_list_of(&options);
	t.body = make_body(body, content);
	(void)signal(SIGPIPE, SIG_IGN);
	status = run(&t, only, json);
	json_decref(t.body);
	buf_fini(&options);
	return status;
}
