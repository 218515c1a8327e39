/*
 * init - see init.h.
 */
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cfg.h"
#include "common/mem.h"
#include "common/span.h"
#include "proto/contract.h"
#include "supervisor/init.h"

#define ANSWER_MAX	512
#define WEB_ADDRESS	"127.0.0.1:9464"
#define RUNTIME_DIR	"/run/bulkhead"		/* where bulkheadctl looks by itself */

struct answers {
	char	 token[ANSWER_MAX], kind[ANSWER_MAX], program[ANSWER_MAX];
	char	 url[ANSWER_MAX], model[ANSWER_MAX], key[ANSWER_MAX];
	char	 runtime[ANSWER_MAX], web[ANSWER_MAX];
};

/*
 * One line into dst.  False: standard input has no more, which on a terminal means that one does
 * not want to go on.
 */
static bool
ask(const char *question, const char *def, char *dst)
{
	char	 line[ANSWER_MAX];
	bool	 there;

	if (isatty(STDIN_FILENO)) {
		printf("%s [%s]: ", question, def);
		fflush(stdout);
	}
	there = fgets(line, sizeof(line), stdin) != NULL;
	if (there)
		line[strcspn(line, "\r\n")] = '\0';
	else if (isatty(STDIN_FILENO))
		printf("\n");
	(void)snprintf(dst, ANSWER_MAX, "%s", !there || line[0] == '\0' ? def : line);
	return there;
}

/* What stands in the file between double quotes, and on a line. */
static bool
fits(const char *answer)
{
	for (; *answer != '\0'; answer++)
		if ((unsigned char)*answer < ' ' || *answer == '"' || *answer == '\\')
			return false;
	return true;
}

/*
 * A question again until its answer will do; without a terminal it is asked once.  -1: it will not,
 * or who was asked had enough.
 */
static int
ask_until(const char *question, const char *def, char *dst, bool (*good)(const char *),
    const char *complaint)
{
	for (;;) {
		bool	 there = ask(question, def, dst);

		if (!there && isatty(STDIN_FILENO)) {
			warnx("nothing is written");
			return -1;
		}
		if (fits(dst) && (good == NULL || good(dst)))
			return 0;
		warnx("%s: %s", dst, fits(dst) ? complaint : "quotes and control characters do not fit");
		if (!isatty(STDIN_FILENO))
			return -1;
	}
}

static bool
is_path(const char *s)
{
	return s[0] == '/';
}

static bool
is_kind(const char *s)
{
	return strcmp(s, "echo") == 0 || strcmp(s, "chat") == 0 || strcmp(s, "exec") == 0;
}

static bool
is_url(const char *s)
{
	return strncmp(s, "http://", 7) == 0 || strncmp(s, "https://", 8) == 0;
}

static bool
is_variable(const char *s)
{
	return strcmp(s, "none") == 0 || (s[0] != '\0' &&
	    s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] == '\0');
}

static bool
is_yes_no(const char *s)
{
	return strcmp(s, "yes") == 0 || strcmp(s, "no") == 0;
}

static int
ask_model(struct answers *a)
{
	if (ask_until("3. Model: base URL of its server", "http://127.0.0.1:8080/v1", a->url, is_url,
	    "it begins with http:// or https://") == -1 ||
	    ask_until("   its name", "local", a->model, NULL, "") == -1)
		return -1;
	return ask_until("   environment variable that holds its key, or none", "none", a->key,
	    is_variable, "letters, digits and _");
}

/* /run belongs to root; a person has a directory of the session's. */
static const char *
runtime_default(char dst[ANSWER_MAX])
{
	const char	*own = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0 || own == NULL || !is_path(own) || !fits(own) ||
	    snprintf(dst, ANSWER_MAX, "%s/bulkhead", own) >= ANSWER_MAX)
		return RUNTIME_DIR;
	return dst;
}

static int
ask_all(struct answers *a)
{
	char	 runtime[ANSWER_MAX];

	if (ask_until("1. File whose first line is the bot's token", "/etc/bulkhead/token", a->token,
	    is_path, "an absolute path, please") == -1 ||
	    ask_until("2. What kind of bot: echo, chat or exec", "echo", a->kind, is_kind,
	    "echo answers !ping, chat talks with a language model, exec is a program of yours") == -1)
		return -1;
	if (strcmp(a->kind, "chat") == 0 && ask_model(a) == -1)
		return -1;
	if (strcmp(a->kind, "exec") == 0 &&
	    ask_until("3. The program and its arguments", "/usr/local/bin/mybot", a->program, is_path,
	    "an absolute path, please") == -1)
		return -1;
	if (ask_until("4. Directory for journal and control socket, on tmpfs",
	    runtime_default(runtime), a->runtime, is_path, "an absolute path, please") == -1)
		return -1;
	return ask_until("5. A page with status and metrics on " WEB_ADDRESS ": yes or no", "no", a->web,
	    is_yes_no, "yes or no");
}

static void
put_bot(const struct answers *a, struct buf *out)
{
	if (strcmp(a->kind, "exec") == 0)
		buf_printf(out, "# A program that speaks the protocol of bulkhead-worker(7).\n"
		    "pool \"bot\" {\n  handler = \"exec:%s\"\n"
		    "  events  = { \"MESSAGE_CREATE\" }        # what it gets\n"
		    "  workers = 2                           # processes\n}\n", a->program);
	else if (strcmp(a->kind, "echo") == 0)
		buf_printf(out, "# Answers !ping with pong.\n"
		    "pool \"echo\" {\n  handler = \"echo\"\n"
		    "  workers = 2                           # processes\n}\n");
	else {
		buf_printf(out, "# Answers who mentions it, replies to it or writes to it directly.\n"
		    "pool \"chat\" {\n  handler = \"chat\"\n"
		    "  workers = 2                           # processes\n}\n"
		    "model \"default\" {\n  base_url = \"%s\"\n  name     = \"%s\"\n", a->url, a->model);
		if (strcmp(a->key, "none") != 0)
			buf_printf(out, "  api_key  = \"${%s}\"   # from the environment, which forgets"
			    " it\n", a->key);
		buf_printf(out, "}\nchat {\n  # system_prompt = \"You are {bot}, the librarian of {guild}.\"\n"
		    "  # free_channels = { \"1234567890\" }     # where every message is for the bot\n}\n");
	}
}

static void
put_file(const struct answers *a, struct buf *out)
{
	buf_printf(out, "# Bulkhead: the configuration of one bot, written by bulkheadd --init.\n"
	    "# bulkheadd -n checks it, bulkhead.conf(5) has every option.\n\n"
	    "token_file  = \"%s\"   # its first line is the token\n"
	    "runtime_dir = \"%s\"   # journal and control socket; on tmpfs\n", a->token, a->runtime);
	if (strcmp(a->web, "yes") == 0)
		buf_printf(out, "web         = \"" WEB_ADDRESS "\"   # /metrics, /healthz, /readyz, a page\n");
	else
		buf_printf(out, "# web       = \"" WEB_ADDRESS "\"   # /metrics, /healthz, /readyz, a page\n");
	buf_printf(out, "\n");
	put_bot(a, out);
	buf_printf(out, "\n# A user of its own for what talks to Discord and one for handlers: under systemd these two\n"
	    "# lines are all; started as root by something else, user names the supervisor's own.\n"
	    "# rest_user    = \"bulkhead-rest\"\n# handler_user = \"bulkhead-handler\"\n# user         = \"bulkhead\"\n");
}

/* Whole or not at all, and never over another one. */
static int
write_file(const char *conf, struct span text)
{
	int	 fd = open(conf, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	ssize_t	 n;

	if (fd == -1) {
		warn("%s", conf);
		return -1;
	}
	n = write(fd, text.p, text.n);
	if (close(fd) == 0 && n == (ssize_t)text.n)
		return 0;
	warn("%s", conf);
	(void)unlink(conf);
	return -1;
}

/* Before five questions are asked for nothing. */
static int
check_place(const char *conf)
{
	char	*dir = mem_strdup(conf), *slash = strrchr(dir, '/');
	int	 status = BULKHEADD_EXIT_OK;

	if (slash != NULL)
		slash[slash == dir] = '\0';
	if (access(conf, F_OK) == 0) {
		warnx("%s is there already, and stays as it is; -c names another file", conf);
		status = BULKHEADD_EXIT_CONFIG;
	} else if (access(slash == NULL ? "." : dir, W_OK | X_OK) == -1) {
		warn("%s cannot be written there; -c names another file", conf);
		status = BULKHEADD_EXIT_FAIL;
	}
	free(dir);
	return status;
}

static void
say_next(const char *conf, const struct cfg *cfg)
{
	printf("next: bulkheadd -c %s\nthen: bulkheadctl ", conf);
	if (strcmp(cfg->runtime_dir, RUNTIME_DIR) != 0)
		printf("-s %s/control.sock ", cfg->runtime_dir);
	printf("status\n");
}

int
init_main(const char *conf)
{
	struct answers	 a;
	struct buf	 text = { 0 };
	struct cfg	*cfg;
	char		*errors = NULL;
	int		 status = check_place(conf);

	if (status != BULKHEADD_EXIT_OK)
		return status;
	if (ask_all(&a) == -1)
		return BULKHEADD_EXIT_USAGE;
	put_file(&a, &text);
	if (write_file(conf, buf_span(&text)) == -1) {
		buf_fini(&text);
		return BULKHEADD_EXIT_FAIL;
	}
	buf_fini(&text);
	printf("%s is written\n", conf);
	if ((cfg = cfg_load("/proc/self/exe", conf, true, -1, &errors)) == NULL) {
		printf("before it can be used:\n%s\nthen: bulkheadd -n -c %s checks it again\n",
		    errors == NULL ? "it could not be read" : errors, conf);
		status = BULKHEADD_EXIT_CONFIG;
	} else
		say_next(conf, cfg);
	free(errors);
	cfg_unload(&cfg);
	return fflush(stdout) == 0 ? status : BULKHEADD_EXIT_FAIL;
}
