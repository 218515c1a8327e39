/*
 * cfgcheck - the configuration child: a file becomes one CONFIG or CONFIG_BAD.  See cfg.h.
 *
 * The file goes through cfgscan, which knows lines; what it lets through goes to libConfuse, which
 * gives the values; each value goes through its row in cfgrow.
 */
#include <assert.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cfgscan.h"	/* before confuse.h: both have a CFG_STR for a while */
#include "common/msg.h"
#include "common/words.h"

#include <confuse.h>

#define FILE_BYTES_MAX	(1u << 20)
#define TOKEN_BYTES_MAX	512
#define ROWS_MAX	4096		/* of CONFIG */

struct check {
	struct cfgscan	 s;
	struct buf	 rows;		/* the list of CONFIG */
	size_t		 rows_n;
};

static int
read_text(struct check *c)
{
	struct buf	 b = { 0 };
	const char	*nul;
	unsigned	 line = 1;
	ssize_t		 n;
	size_t		 i;
	int		 fd;

	fd = open(c->s.path, O_RDONLY | O_CLOEXEC);
	if (fd == -1) {
		cfgscan_say(&c->s, 0, "%s", strerror(errno));
		return -1;
	}
	do {
		n = read(fd, buf_room(&b, 65536), 65536);
		if (n > 0)
			buf_added(&b, (size_t)n);
	} while ((n > 0 && b.n <= FILE_BYTES_MAX) || (n == -1 && errno == EINTR));
	if (n == -1)
		cfgscan_say(&c->s, 0, "%s", strerror(errno));
	else if (b.n > FILE_BYTES_MAX)
		cfgscan_say(&c->s, 0, "larger than %u bytes", FILE_BYTES_MAX);
	(void)close(fd);
	c->s.text_n = b.n;
	c->s.text = mem_spandup(buf_span(&b));
	if (b.n > 0)
		explicit_bzero(b.p, b.cap);
	buf_fini(&b);
	if (c->s.errors_n > 0)
		return -1;
	nul = memchr(c->s.text, '\0', c->s.text_n);
	if (nul != NULL) {
		for (i = 0; c->s.text + i < nul; i++)
			line += c->s.text[i] == '\n';
		cfgscan_say(&c->s, line, "a NUL byte");
		return -1;
	}
	return 0;
}

/* The first line of the file that an option names; NULL after a complaint. */
static char *
read_secret(struct check *c, const char *option, const char *path, unsigned line, bool needed)
{
	char	 text[TOKEN_BYTES_MAX + 2], *token;
	ssize_t	 n = -1;
	size_t	 len;
	int	 fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd != -1) {
		n = read(fd, text, sizeof(text) - 1);
		(void)close(fd);
	}
	if (n == -1) {
		if (needed)
			cfgscan_say(&c->s, line, "\"%s\" cannot be read: %s: %s", option,
			    path, strerror(errno));
		return NULL;
	}
	text[n] = '\0';
	len = strcspn(text, "\r\n");
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	token = mem_spandup(span_make(text, len));
	explicit_bzero(text, sizeof(text));
	if (len == 0 && needed)
		cfgscan_say(&c->s, line, "\"%s\" is empty in its first line: %s", option, path);
	if (len == 0)
		mem_wipe_free(&token);
	return token;
}

/* libConfuse's own words: only for what the scan let through and it does not. */
static struct check	*confuse_check;

static void __attribute__((format(printf, 2, 0)))
confuse_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char	 text[256];

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	cfgscan_say(&confuse_check->s, cfg == NULL ? 0 : (unsigned)cfg->line, "%s", text);
}

#define CONFUSE_STR(name)	CFG_STR(#name, NULL, CFGF_NODEFAULT)
#define CONFUSE_SECRET(name)	CFG_STR(#name, NULL, CFGF_NODEFAULT)
#define CONFUSE_MS(name)	CFG_STR(#name, NULL, CFGF_NODEFAULT)
#define CONFUSE_INT(name)	CFG_STR(#name, NULL, CFGF_NODEFAULT)
#define CONFUSE_BYTES(name)	CFG_STR(#name, NULL, CFGF_NODEFAULT)
#define CONFUSE_BOOL(name)	CFG_STR(#name, NULL, CFGF_NODEFAULT)
#define CONFUSE_LIST(name)	CFG_STR_LIST(#name, NULL, CFGF_NODEFAULT)

/* NULL after a complaint.  All values are taken as text: cfgrow_check has better sentences. */
static cfg_t *
confuse(struct check *c)
{
	cfg_opt_t	 pool_opts[] = {
#define OPT_POOL(type, name)	CONFUSE_##type(name),
#include "common/cfgscope.h"
		CFG_END()
	};
	cfg_opt_t	 model_opts[] = {
#define OPT_MODEL(type, name)	CONFUSE_##type(name),
#include "common/cfgscope.h"
		CFG_END()
	};
	cfg_opt_t	 chat_opts[] = {
#define OPT_CHAT(type, name)	CONFUSE_##type(name),
#include "common/cfgscope.h"
		CFG_END()
	};
	cfg_opt_t	 opts[] = {
#define OPT_GLOBAL(type, name)	CONFUSE_##type(name),
#include "common/cfgscope.h"
		CFG_SEC("pool", pool_opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("model", model_opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("chat", chat_opts, CFGF_NONE),
		CFG_END()
	};
	cfg_t		*cfg = cfg_init(opts, CFGF_NONE);

	if (cfg == NULL) {
		cfgscan_say(&c->s, 0, "libConfuse refused its table");
		return NULL;
	}
	confuse_check = c;
	(void)cfg_set_error_function(cfg, confuse_error);
	if (cfg_parse_buf(cfg, c->s.text) == CFG_SUCCESS)
		return cfg;
	if (c->s.errors_n == 0)
		cfgscan_say(&c->s, 0, "libConfuse refused it");
	cfg_free(cfg);
	return NULL;
}

static void
add_row(struct check *c, const char *section, const char *title, const char *option,
    const char *value, const char *origin)
{
	msg_list_str(&c->rows, span_of(section));
	msg_list_str(&c->rows, span_of(title));
	msg_list_str(&c->rows, span_of(option));
	msg_list_str(&c->rows, span_of(value));
	msg_list_str(&c->rows, span_of(origin));
	c->rows_n++;
}

/* Origin of a row: the line of what the file sets. */
static const char *
line_text(const struct cfgscan_set *set, char dst[16])
{
	snprintf(dst, 16, "%u", set->line);
	return dst;
}

/* The effective text of one value: a base for paths ends without a slash. */
static char *
tidy(const struct cfg_option *o, const char *text)
{
	char	*s = mem_strdup(text);
	size_t	 n = strlen(s);

	if (strcmp(o->name, "api_url") == 0 || strcmp(o->name, "base_url") == 0 ||
	    strcmp(o->name, "runtime_dir") == 0)
		while (n > 1 && s[n - 1] == '/')
			s[--n] = '\0';
	return s;
}

/* How a word of a list is called: of NAME=value the name alone. */
static struct span
word_name(const struct cfg_option *o, const char *word)
{
	return cfgrow_is_env(o) ? cfgrow_env_name(word) : span_of(word);
}

static bool
same_word(const struct cfg_option *o, const char *a, const char *b)
{
	return span_eq(word_name(o, a), word_name(o, b));
}

static void
read_list(struct check *c, cfg_opt_t *opt, const struct cfg_option *o, const char *title,
    const char *where, const struct cfgscan_set *set)
{
	unsigned		 n = cfg_opt_size(opt), i, j, line = set->line;
	const char		*word;
	char			 why[CFGROW_WHY_BYTES], at[16];
	uint64_t		 v;

	if (n < o->min || n > o->max) {
		cfgscan_say(&c->s, line, "\"%s\"%s names %u, at %s %" PRIu64, o->name, where, n,
		    n < o->min ? "least" : "most", n < o->min ? o->min : o->max);
		return;
	}
	for (i = 0; i < n; i++) {
		word = cfg_opt_getnstr(opt, i);
		if (cfgrow_check(o, where, word, &v, why) == -1) {
			cfgscan_say(&c->s, line, "%s", why);
			continue;
		}
		for (j = 0; j < i; j++)
			if (same_word(o, word, cfg_opt_getnstr(opt, j)))
				cfgscan_say(&c->s, line, "\"%s\"%s names %.*s twice", o->name,
				    where, (int)word_name(o, word).n, word);
		if (n > 1 && strcmp(word, "auto") == 0)
			cfgscan_say(&c->s, line, "\"%s\": auto stands alone", o->name);
		add_row(c, o->scope, title, o->name, word, line_text(set, at));
	}
	if (n == 0)
		add_row(c, o->scope, title, o->name, "", line_text(set, at));	/* to nothing */
}

static bool
is_needed(const struct cfg_option *o)
{
	return strcmp(o->name, "handler") == 0 || (o->in == CFG_SCOPE_MODEL &&
	    (strcmp(o->name, "base_url") == 0 || strcmp(o->name, "name") == 0));
}

/*
 * A default that the process manager knows better: RUNTIME_DIRECTORY of systemd.exec(5), of several
 * the first.
 */
static const char *
default_of(const struct cfg_option *o, char *dst, size_t bytes)
{
	const char	*dir;

	if (strcmp(o->name, "runtime_dir") != 0 || (dir = getenv("RUNTIME_DIRECTORY")) == NULL ||
	    dir[0] != '/')
		return o->def;
	snprintf(dst, bytes, "%.*s", (int)strcspn(dir, ":"), dir);
	return dst;
}

/* Check one option of the file or its default, and make its rows. */
static void
read_option(struct check *c, cfg_t *confused, const struct cfg_option *o, size_t section,
    const char *title)
{
	const struct cfgscan_set	*set = cfgscan_find(&c->s, o, section);
	cfg_opt_t			*opt = cfg_getopt(confused, o->name);
	char				 where[96], why[CFGROW_WHY_BYTES], dir[PATH_MAX], at[16];
	char				*tidied;
	const char			*text = default_of(o, dir, sizeof(dir)), *origin;
	unsigned			 line = 0;
	uint64_t			 v = 0;

	if (set != NULL)
		line = set->line;
	else if (section != SIZE_MAX)
		line = c->s.sections[section].line;
	(void)cfgscan_where(&c->s, section, where, sizeof(where));
	if (set != NULL && o->kind == CFG_TYPE_LIST) {
		read_list(c, opt, o, title, where, set);
		return;
	}
	if (set != NULL && cfg_opt_size(opt) > 0)
		text = cfg_opt_getnstr(opt, 0);
	if (text == NULL) {
		if (is_needed(o))
			cfgscan_say(&c->s, line, "\"%s\"%s is missing", o->name, where);
		return;
	}
	if (cfgrow_check(o, where, text, &v, why) == -1) {
		cfgscan_say(&c->s, line, "%s", why);
		return;
	}
	if (strcmp(o->name, "ca_file") == 0 && access(text, R_OK) == -1)
		cfgscan_say(&c->s, line, "\"ca_file\" cannot be read: %s: %s", text,
		    strerror(errno));
	tidied = tidy(o, text);
	origin = set != NULL ? line_text(set, at) : text == o->def ? "" : "environment";
	add_row(c, o->scope, title, o->name, tidied, origin);
	mem_wipe_free(&tidied);
}

/* LoadCredential=token:... of systemd.exec(5): false when there is none. */
static bool
find_credential(char *dst, size_t bytes)
{
	const char	*dir = getenv("CREDENTIALS_DIRECTORY");

	return dir != NULL && dir[0] == '/' &&
	    (size_t)snprintf(dst, bytes, "%s/token", dir) < bytes && access(dst, F_OK) == 0;
}

static void
read_token_options(struct check *c, cfg_t *cfg, bool need_token)
{
	const struct cfg_option		*row = cfgrow_find(SPAN("token"), CFG_SCOPE_GLOBAL);
	const struct cfgscan_set	*token, *file;
	const char			*path = NULL;
	char				*text, why[CFGROW_WHY_BYTES], credential[PATH_MAX], at[16];
	unsigned			 line = 0;
	uint64_t			 v;

	token = cfgscan_find(&c->s, row, SIZE_MAX);
	file = cfgscan_find(&c->s, cfgrow_find(SPAN("token_file"), CFG_SCOPE_GLOBAL), SIZE_MAX);
	if (token != NULL && file != NULL)
		cfgscan_say(&c->s, file->line > token->line ? file->line : token->line,
		    "\"token\" and \"token_file\" are both set; keep one");
	else if (file != NULL) {
		path = cfg_getstr(cfg, "token_file");
		line = file->line;
	} else if (token == NULL && find_credential(credential, sizeof(credential)))
		path = credential;
	else if (token == NULL && need_token)
		cfgscan_say(&c->s, 0, "neither \"token\" nor \"token_file\" is set, and no credential of"
		    " systemd is here: bulkheadd -n --no-gateway checks the rest");
	if (path == NULL || path[0] != '/')	/* the latter has been complained about */
		return;
	text = read_secret(c, "token_file", path, line, need_token);
	if (text == NULL)
		return;
	if (cfgrow_check(row, " from \"token_file\"", text, &v, why) == 0)
		add_row(c, row->scope, "", row->name, text, file == NULL ? "credential" :
		    line_text(file, at));
	else if (need_token)
		cfgscan_say(&c->s, line, "%s", why);
	mem_wipe_free(&text);
}

/* A model's key from a file: a row of api_key. */
static void
read_key_file(struct check *c, cfg_t *model, size_t section, const char *title)
{
	const struct cfg_option		*row = cfgrow_find(SPAN("api_key"), CFG_SCOPE_MODEL);
	const struct cfgscan_set	*key = cfgscan_find(&c->s, row, section), *file;
	const char			*path = cfg_getstr(model, "api_key_file");
	char				*text, why[CFGROW_WHY_BYTES], at[16];
	uint64_t			 v;

	file = cfgscan_find(&c->s, cfgrow_find(SPAN("api_key_file"), CFG_SCOPE_MODEL), section);
	if (file == NULL || path == NULL || path[0] != '/')
		return;
	if (key != NULL) {
		cfgscan_say(&c->s, file->line > key->line ? file->line : key->line,
		    "\"api_key\" and \"api_key_file\" of model \"%s\" are both set; keep one",
		    title);
		return;
	}
	if ((text = read_secret(c, "api_key_file", path, file->line, true)) == NULL)
		return;
	if (cfgrow_check(row, " from \"api_key_file\"", text, &v, why) == 0)
		add_row(c, row->scope, title, row->name, text, line_text(file, at));
	else
		cfgscan_say(&c->s, file->line, "%s", why);
	mem_wipe_free(&text);
}

/* Can this program be run, as far as one can see?  A sentence, or NULL. */
static const char *
bad_program(const char *path)
{
	struct stat	 st;

	if (stat(path, &st) == -1)
		return strerror(errno);
	if (S_ISDIR(st.st_mode))
		return "it is a directory";
	if (!S_ISREG(st.st_mode))
		return "it is not a file";
	return access(path, X_OK) == -1 ? "it is not executable (chmod +x)" : NULL;
}

/* What a pool with a program of its own has to say, and one without must not. */
static void
check_program(struct check *c, cfg_t *pool, size_t section)
{
	const struct cfgscan_set	*handler, *events, *env;
	const char			*text = cfg_getstr(pool, "handler"), *command, *why;
	char				 where[96];
	struct words			 w;

	handler = cfgscan_find(&c->s, cfgrow_find(SPAN("handler"), CFG_SCOPE_POOL), section);
	events = cfgscan_find(&c->s, cfgrow_find(SPAN("events"), CFG_SCOPE_POOL), section);
	env = cfgscan_find(&c->s, cfgrow_find(SPAN("env"), CFG_SCOPE_POOL), section);
	(void)cfgscan_where(&c->s, section, where, sizeof(where));
	if (handler == NULL || text == NULL)
		return;
	if ((command = cfgrow_command(text)) == NULL) {
		if (env != NULL)
			cfgscan_say(&c->s, env->line, "\"env\"%s is for handlers \"exec:...\";"
			    " what is built in has its own options", where);
		return;
	}
	if (events == NULL)
		cfgscan_say(&c->s, handler->line, "\"events\"%s is missing: with a handler"
		    " \"exec:...\" it names what the program gets, { } for nothing", where);
	if (words_split(command, &w, &why) == -1)
		return;			/* it has been complained about */
	if (w.n > 0 && w.v[0][0] == '/' && (why = bad_program(w.v[0])) != NULL)
		cfgscan_say(&c->s, handler->line, "handler%s: %s cannot be run: %s", where,
		    w.v[0], why);
	words_fini(&w);
}

static bool
is_model(cfg_t *cfg, const char *title)
{
	for (unsigned i = 0; i < cfg_size(cfg, "model"); i++)
		if (strcmp(cfg_title(cfg_getnsec(cfg, "model", i)), title) == 0)
			return true;
	return false;
}

/* Another model of this file. */
static void
check_fallback(struct check *c, cfg_t *cfg, cfg_t *model, size_t section)
{
	const struct cfgscan_set	*set;
	const char			*name = cfg_getstr(model, "fallback");
	char				 shown[64];

	set = cfgscan_find(&c->s, cfgrow_find(SPAN("fallback"), CFG_SCOPE_MODEL), section);
	if (set == NULL || name == NULL)
		return;
	if (strcmp(name, cfg_title(model)) == 0)
		cfgscan_say(&c->s, set->line, "\"fallback\" in model \"%s\" is that model itself",
		    name);
	else if (!is_model(cfg, name))
		cfgscan_say(&c->s, set->line, "\"fallback\" in model \"%s\" is \"%s\", and there is"
		    " no model \"%s\" { }", cfg_title(model),
		    cfgrow_quoted(name, shown, sizeof(shown)), shown);
}

/* A pool that chats needs a model, and the one that is named must be there. */
static void
check_models(struct check *c, cfg_t *cfg)
{
	const char	*model = cfg_getstr(cfg, "chat|model"), *handler;
	bool		 chats = false;
	char		 shown[64];
	size_t		 i;

	for (i = 0; i < cfg_size(cfg, "pool"); i++) {
		handler = cfg_getstr(cfg_getnsec(cfg, "pool", (unsigned)i), "handler");
		chats = chats || (handler != NULL && strcmp(handler, "chat") == 0);
	}
	if (model != NULL && !is_model(cfg, model))
		cfgscan_say(&c->s, 0, "\"model\" in chat is \"%s\", and there is no model \"%s\""
		    " { }", cfgrow_quoted(model, shown, sizeof(shown)), shown);
	if (chats && cfg_size(cfg, "model") == 0)
		cfgscan_say(&c->s, 0, "a pool has the handler chat, and there is no"
		    " model \"name\" { base_url = ... name = ... }");
}

static void
read_values(struct check *c, cfg_t *cfg, bool need_token)
{
	const struct cfg_option		*o;
	const struct cfgscan_section	*sec;
	const char			*kind, *title;
	unsigned			 nth[CFG_SCOPE__N] = { 0 };
	cfg_t				*section;
	size_t				 i;

	for (o = NULL; (o = cfgrow_next(o, CFG_SCOPE_GLOBAL)) != NULL;)
		read_option(c, cfg, o, SIZE_MAX, "");
	read_token_options(c, cfg, need_token);
	for (i = 0; i < c->s.sections_n; i++) {
		sec = &c->s.sections[i];
		kind = cfgrow_scope_name(sec->scope);
		if (nth[sec->scope] == cfg_size(cfg, kind))
			continue;
		section = cfg_getnsec(cfg, kind, nth[sec->scope]++);
		title = cfgrow_scope_titled(sec->scope) ? cfg_title(section) : "";
		for (o = NULL; (o = cfgrow_next(o, sec->scope)) != NULL;)
			read_option(c, section, o, i, title);
		if (sec->scope == CFG_SCOPE_POOL)
			check_program(c, section, i);
		if (sec->scope == CFG_SCOPE_MODEL) {
			read_key_file(c, section, i, title);
			check_fallback(c, cfg, section, i);
		}
	}
	check_models(c, cfg);
	for (i = 0; i < c->s.env_n; i++)
		add_row(c, "env", "", c->s.env[i], "", "");
	if (c->rows_n > ROWS_MAX)
		cfgscan_say(&c->s, 0, "more than %u values", ROWS_MAX);
}

/* In the order of the file; what has no line comes last. */
static int
by_line(const void *a, const void *b)
{
	const struct cfgscan_error	*x = a, *y = b;

	if (x->line != y->line)
		return x->line - 1 < y->line - 1 ? -1 : 1;
	return x->nth < y->nth ? -1 : 1;
}

static int
write_frame(struct check *c, struct buf *out)
{
	struct buf		 list = { 0 };
	struct msg_CONFIG	 config;
	struct msg_CONFIG_BAD	 bad;
	const char		*why;
	char			*last;
	size_t			 i;
	int			 rv;

	if (c->s.errors_n == 0) {
		config.rows = msg_list_of(&c->rows);
		if (msg_pack(out, MSG_CONFIG, &config, &why) == 0)
			return 0;
		cfgscan_say(&c->s, 0, "%s", why);
	}
	qsort(c->s.errors, c->s.errors_n, sizeof(c->s.errors[0]), by_line);
	if (c->s.more_n > 0) {
		last = c->s.errors[CFGSCAN_ERRORS_MAX - 1].text;
		c->s.errors[CFGSCAN_ERRORS_MAX - 1].text = mem_printf("%s: and %zu more errors",
		    c->s.path, c->s.more_n + 1);
		free(last);
	}
	for (i = 0; i < c->s.errors_n; i++)
		msg_list_str(&list, span_of(c->s.errors[i].text));
	bad.errors = msg_list_of(&list);
	rv = msg_pack(out, MSG_CONFIG_BAD, &bad, NULL);
	assert(rv == 0);
	buf_fini(&list);
	return -1;
}

int
cfg_check_file(const char *path, bool need_token, struct buf *out)
{
	struct check	 c = { .s.path = path };
	cfg_t		*cfg = NULL;
	int		 rv;

	if (read_text(&c) == 0 && cfgscan_run(&c.s)) {
		if (cfgscan_count(&c.s, CFG_SCOPE_POOL) == 0)
			cfgscan_say(&c.s, 0,
			    "no pool: at least one pool \"name\" { handler = ... } is needed");
		cfg = c.s.env_missing ? NULL : confuse(&c);
		if (cfg != NULL)
			read_values(&c, cfg, need_token);
	}
	rv = write_frame(&c, out);
	if (cfg != NULL)
		cfg_free(cfg);
	if (c.rows.cap > 0)
		explicit_bzero(c.rows.p, c.rows.cap);
	buf_fini(&c.rows);
	cfgscan_fini(&c.s);
	return rv;
}
