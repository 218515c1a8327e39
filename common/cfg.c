/*
 * cfg - see cfg.h.
 *
 * The child first reads the file with a scanner of its own, stricter than libConfuse's lexer:
 * it knows lines and repeated keys, which libConfuse does not, and what libConfuse would take
 * in silence (a NUL, an unset variable, a comment that never ends) it refuses.  Only what has
 * passed goes to libConfuse, which gives the values.  Each value is then checked against its
 * row by check_value, once in the child with file and line, once more in the parent.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cfg.h"		/* before confuse.h: both have a CFG_STR for a while */
#include "common/clock.h"
#include "common/json.h"
#include "common/msg.h"

#include <confuse.h>

#define FILE_BYTES_MAX	(1u << 20)
#define FRAME_BYTES_MAX	(4u << 20)
#define TOKEN_BYTES_MAX	512
#define ERRORS_MAX	64		/* rows of CONFIG_BAD */
#define ROWS_MAX	4096		/* rows of CONFIG */
#define CHILD_MS	10000
#define WHY_BYTES	512

#define DIGITS		"0123456789"
#define LOWER		"abcdefghijklmnopqrstuvwxyz"
#define LETTERS		LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* ---- the table ---- */

enum cfg_type { TYPE_STR, TYPE_SECRET, TYPE_MS, TYPE_INT, TYPE_BYTES, TYPE_BOOL, TYPE_LIST };

#define SCOPE_GLOBAL	"global"
#define SCOPE_POOL	"pool"
#define TEXT_STR	"text"
#define TEXT_SECRET	"secret"
#define TEXT_MS		"seconds"
#define TEXT_INT	"number"
#define TEXT_BYTES	"bytes"
#define TEXT_BOOL	"yes or no"
#define TEXT_LIST	"list"
#define RELOAD_LIVE	"live"
#define RELOAD_START	"start"

static const struct cfg_option options[] = {
#define OPT(scope, type, name, def, min, max, reload, help)			\
	{ SCOPE_##scope, TEXT_##type, #name, def, RELOAD_##reload, help, min, max },
#include "proto/options.def"
#undef OPT
};
#define OPTIONS_N	(sizeof(options) / sizeof(options[0]))

#define FIELD_STR(name)		name
#define FIELD_SECRET(name)	name
#define FIELD_MS(name)		name##_ms
#define FIELD_INT(name)		name
#define FIELD_BYTES(name)	name##_bytes
#define FIELD_BOOL(name)	name
#define FIELD_LIST(name)	name
#define STRUCT_GLOBAL		struct cfg
#define STRUCT_POOL		struct cfg_pool
#define IN_GLOBAL		false
#define IN_POOL			true

/* Where the value of each row of options[] lives. */
static const struct place {
	enum cfg_type	 type;
	bool		 pool;
	size_t		 offset;
} places[OPTIONS_N] = {
#define OPT(scope, type, name, def, min, max, reload, help)			\
	{ TYPE_##type, IN_##scope, offsetof(STRUCT_##scope, FIELD_##type(name)) },
#include "proto/options.def"
#undef OPT
};

static const char *const events[] = {
#define EVENT(name, intents, key, identity, order, shed)	#name,
#include "proto/events.def"
#undef EVENT
};
#define EVENTS_N	(sizeof(events) / sizeof(events[0]))

enum {
#define INTENT(name, bit, privileged)	INTENT_##name = 1 << bit,
#include "proto/intents.def"
#undef INTENT
};

static const uint64_t event_intents[EVENTS_N] = {
#define EVENT(name, intents, key, identity, order, shed)	intents,
#include "proto/events.def"
#undef EVENT
};

static const struct intent {
	const char	*name;
	uint64_t	 bits;
} intents[] = {
#define INTENT(name, bit, privileged)	{ #name, INTENT_##name },
#include "proto/intents.def"
#undef INTENT
};
#define INTENTS_N	(sizeof(intents) / sizeof(intents[0]))

static const struct role {
	const char	*name;
	const char	*events;
} roles[] = {
#define ROLE(name, order, credit, service, evs, help)	{ #name, evs },
#include "proto/roles.def"
#undef ROLE
};
#define ROLES_N		(sizeof(roles) / sizeof(roles[0]))

const struct cfg_option *
cfg_options(size_t *n_r)
{
	*n_r = OPTIONS_N;
	return options;
}

int
cfg_event(struct span name)
{
	size_t	 i;

	for (i = 0; i < EVENTS_N; i++)
		if (span_is(name, events[i]))
			return (int)i;
	return -1;
}

/* Handlers that may be configured; rest is the supervisor's own. */
static const struct role *
role_find(const char *name)
{
	size_t	 i;

	for (i = 0; i < ROLES_N; i++)
		if (strcmp(roles[i].name, name) == 0 && strcmp(name, "rest") != 0)
			return &roles[i];
	return NULL;
}

const char *
cfg_pool_role(const struct cfg_pool *p)
{
	const struct role	*r = role_find(p->handler);

	return r == NULL ? NULL : r->name;
}

bool
cfg_pool_wants(const struct cfg_pool *p, const char *event)
{
	const struct role	*r;
	const char		*at;
	size_t			 i, n;

	if (p->events.set) {
		for (i = 0; i < p->events.n; i++)
			if (strcmp(p->events.v[i], event) == 0)
				return true;
		return false;
	}
	r = role_find(p->handler);
	if (r == NULL)
		return false;
	for (at = r->events; *at != '\0'; at += n + strspn(at + n, " ")) {
		n = strcspn(at, " ");
		if (span_is(span_make(at, n), event))
			return true;
	}
	return false;
}

/* ---- sentences ---- */

/* "; did you mean ...", or nothing when no name is near. */
static void
suggest(const char *word, const char *const *names, size_t names_n, char *dst, size_t dst_bytes)
{
	const char	*near = span_nearest(span_of(word), names, names_n);

	*dst = '\0';
	if (near != NULL)
		(void)snprintf(dst, dst_bytes, "; did you mean \"%s\"?", near);
}

/* Text from the file as part of a sentence: cut, and on one line. */
static const char *
quoted(const char *text, char *dst, size_t dst_bytes)
{
	size_t	 i;

	for (i = 0; text[i] != '\0' && i + 4 < dst_bytes; i++)
		dst[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
	dst[i] = '\0';
	if (text[i] != '\0')
		(void)strlcat(dst, "...", dst_bytes);
	return dst;
}

/* A number as it would stand in the file. */
static const char *
number_text(enum cfg_type type, uint64_t v, char *dst, size_t dst_bytes)
{
	size_t	 n;

	if (type == TYPE_MS) {
		(void)snprintf(dst, dst_bytes, "%" PRIu64 ".%03u", v / 1000, (unsigned)(v % 1000));
		for (n = strlen(dst); dst[n - 1] == '0'; n--)
			continue;
		dst[dst[n - 1] == '.' ? n - 1 : n] = '\0';
	} else if (type == TYPE_BYTES && v >= 1 << 30 && v % (1 << 30) == 0)
		(void)snprintf(dst, dst_bytes, "%" PRIu64 "G", v >> 30);
	else if (type == TYPE_BYTES && v >= 1 << 20 && v % (1 << 20) == 0)
		(void)snprintf(dst, dst_bytes, "%" PRIu64 "M", v >> 20);
	else if (type == TYPE_BYTES && v >= 1 << 10 && v % (1 << 10) == 0)
		(void)snprintf(dst, dst_bytes, "%" PRIu64 "K", v >> 10);
	else
		(void)snprintf(dst, dst_bytes, "%" PRIu64, v);
	return dst;
}

/* ---- values ---- */

static bool
seconds_of(const char *text, uint64_t *ms_r)
{
	size_t		 whole = strspn(text, DIGITS), frac = 0, i;
	uint64_t	 v;

	if (!span_u64(span_make(text, whole), &v) || v > UINT64_MAX / 2000)
		return false;
	v *= 1000;
	if (text[whole] == '.') {
		frac = strspn(text + whole + 1, DIGITS);
		if (frac == 0 || frac > 3)
			return false;
		for (i = 0; i < 3; i++)
			v += (i < frac ? (uint64_t)(text[whole + 1 + i] - '0') : 0) *
			    (i == 0 ? 100 : i == 1 ? 10 : 1);
		whole += 1 + frac;
	}
	if (text[whole] != '\0')
		return false;
	*ms_r = v;
	return true;
}

static bool
bytes_of(const char *text, uint64_t *v_r)
{
	size_t		 n = strspn(text, DIGITS);
	unsigned	 shift = 0;
	uint64_t	 v;

	if (!span_u64(span_make(text, n), &v))
		return false;
	switch (text[n]) {
	case 'K': case 'k':	shift = 10; break;
	case 'M': case 'm':	shift = 20; break;
	case 'G': case 'g':	shift = 30; break;
	case '\0':		break;
	default:		return false;
	}
	if ((shift > 0 && text[n + 1] != '\0') || v > UINT64_MAX >> shift)
		return false;
	*v_r = v << shift;
	return true;
}

static bool
bool_of(const char *text, uint64_t *v_r)
{
	static const char *const	 words[2][3] = {
		{ "false", "no", "off" }, { "true", "yes", "on" }
	};
	uint64_t			 v;
	size_t				 i;

	for (v = 0; v < 2; v++)
		for (i = 0; i < 3; i++)
			if (strcasecmp(text, words[v][i]) == 0) {
				*v_r = v;
				return true;
			}
	return false;
}

static bool
number_of(enum cfg_type type, const char *text, uint64_t *v_r)
{
	switch (type) {
	case TYPE_MS:		return seconds_of(text, v_r);
	case TYPE_INT:		return span_u64(span_of(text), v_r);
	case TYPE_BYTES:	return bytes_of(text, v_r);
	case TYPE_BOOL:		return bool_of(text, v_r);
	default:		return false;
	}
}

static bool
one_of(const char *text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

static bool
is_loopback(const char *host)
{
	struct in_addr	 a4;
	struct in6_addr	 a6;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &a4) == 1)
		return ntohl(a4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &a6) == 1 && IN6_IS_ADDR_LOOPBACK(&a6);
}

/* NULL when it is a base that a path may be appended to, else what is wrong with it. */
static const char *
bad_api_url(const char *url)
{
	char		 host[256];
	const char	*at, *port;
	size_t		 n, host_n;
	uint64_t	 v;
	bool		 plain;
	struct in6_addr	 a6;

	plain = strncmp(url, "http://", 7) == 0;
	if (!plain && strncmp(url, "https://", 8) != 0)
		return "does not begin with https://";
	for (at = url; *at != '\0'; at++)
		if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f)
			return "has a space, a control character or a letter outside ASCII";
	if (strpbrk(url, "?#") != NULL)
		return "has a query or a fragment";
	at = url + (plain ? 7 : 8);
	n = strcspn(at, "/");
	if (memchr(at, '@', n) != NULL)
		return "has a user or a password";
	if (*at == '[') {
		host_n = strcspn(at, "]") + 1;
		if (host_n > n || host_n < 3 || host_n - 2 >= sizeof(host))
			return "has no valid host";
		(void)span_copy(span_make(at + 1, host_n - 2), host, sizeof(host));
		if (inet_pton(AF_INET6, host, &a6) != 1)
			return "has no valid host";
	} else {
		host_n = strcspn(at, ":/");
		if (host_n == 0 || host_n >= sizeof(host))
			return "has no valid host";
		(void)span_copy(span_make(at, host_n), host, sizeof(host));
		if (strspn(host, LETTERS DIGITS ".-_") != host_n)
			return "has no valid host";
	}
	port = at + host_n;
	if (host_n < n && (*port != ':' || !span_u64(span_make(port + 1, n - host_n - 1), &v) ||
	    v == 0 || v > 65535))
		return "has no valid port";
	if (plain && !is_loopback(host))
		return "is http: only a loopback address may be, all else needs https";
	return NULL;
}

/* The options that are more than text of some length.  NULL when text will do. */
static const char *
bad_text(const char *name, const char *text)
{
	static const char *const	 compress[] = { "zlib", "none", NULL };
	static const char *const	 levels[] = { "debug", "info", "notice", "warning", "err",
	    NULL };
	static const char *const	 paths[] = { "runtime_dir", "token_file", "ca_file",
	    "resolv_conf", NULL };

	if (strcmp(name, "api_url") == 0)
		return bad_api_url(text);
	if (strcmp(name, "user_agent_url") == 0 && ((strncmp(text, "https://", 8) != 0 &&
	    strncmp(text, "http://", 7) != 0) || strpbrk(text, " ,;()") != NULL))
		return "is not a URL";
	if (strcmp(name, "compress") == 0 && !one_of(text, compress))
		return "is neither zlib nor none";
	if (strcmp(name, "log_level") == 0 && !one_of(text, levels))
		return "is none of debug, info, notice, warning, err";
	if (one_of(name, paths) && text[0] != '/')
		return "is not an absolute path";
	return NULL;
}

static void
to_upper(const char *text, char *dst, size_t dst_bytes)
{
	size_t	 i;

	for (i = 0; text[i] != '\0' && i + 1 < dst_bytes; i++)
		dst[i] = (char)toupper((unsigned char)text[i]);
	dst[i] = '\0';
}

/* Words of lists, and handlers: they are names from other tables. */
static int
check_name(const char *option, const char *where, const char *text, char *why)
{
	const char	*names[INTENTS_N + 1], *what;
	char		 say[128] = "", shown[64], upper[64];
	size_t		 i, n = 0;

	to_upper(text, upper, sizeof(upper));
	if (strcmp(option, "events") == 0) {
		if (cfg_event(span_of(text)) != -1)
			return 0;
		suggest(upper, events, EVENTS_N, say, sizeof(say));
		what = "event";
	} else if (strcmp(option, "intents") == 0) {
		names[n++] = "auto";
		for (i = 0; i < INTENTS_N; i++)
			names[n++] = intents[i].name;
		for (i = 0; i < n; i++)
			if (strcmp(text, names[i]) == 0)
				return 0;
		suggest(upper, names, n, say, sizeof(say));
		what = "intent";
	} else {
		if (role_find(text) != NULL)
			return 0;
		if (strncmp(text, "exec:", 5) == 0) {
			(void)snprintf(why, WHY_BYTES, "handler \"%s\"%s: this version does not run"
			    " programs of your own yet, only built-in handlers",
			    quoted(text, shown, sizeof(shown)), where);
			return -1;
		}
		if (strcmp(text, "rest") == 0) {
			(void)snprintf(why, WHY_BYTES, "handler \"rest\"%s: its pool is made by the"
			    " supervisor itself", where);
			return -1;
		}
		(void)strlcpy(say, "; built in:", sizeof(say));
		for (i = 0; i < ROLES_N; i++)
			if (role_find(roles[i].name) != NULL) {
				(void)strlcat(say, " ", sizeof(say));
				(void)strlcat(say, roles[i].name, sizeof(say));
			}
		what = "handler";
	}
	(void)snprintf(why, WHY_BYTES, "unknown %s \"%s\"%s%s", what,
	    quoted(text, shown, sizeof(shown)), where, say);
	return -1;
}

/*
 * One value, for a list one of its words, against its row.
 *	where	"" or " in pool \"x\"", for sentences
 *	v_r	out; of numbers
 *	why	WHY_BYTES; a sentence after -1, without secrets
 */
static int
check_value(size_t row, const char *where, const char *text, uint64_t *v_r, char *why)
{
	static const char *const	 forms[] = {
		[TYPE_MS] = "a number of seconds such as 20 or 0.5",
		[TYPE_INT] = "a whole number",
		[TYPE_BYTES] = "a number of bytes such as 65536, 64K or 1G",
		[TYPE_BOOL] = "true or false",
	};
	const struct cfg_option		*o = &options[row];
	enum cfg_type			 type = places[row].type;
	const char			*bad, *p;
	char				 shown[64], bound[32];
	size_t				 n = strlen(text);

	switch (type) {
	case TYPE_STR:
	case TYPE_SECRET:
		if (n == 0 && o->min > 0) {
			(void)snprintf(why, WHY_BYTES, "\"%s\"%s is empty", o->name, where);
			return -1;
		}
		if (n < o->min || n > o->max) {
			(void)snprintf(why, WHY_BYTES, "\"%s\"%s has %zu bytes, at %s %" PRIu64,
			    o->name, where, n, n < o->min ? "least" : "most",
			    n < o->min ? o->min : o->max);
			return -1;
		}
		for (p = text; *p != '\0'; p++)
			if ((unsigned char)*p < 0x20 || *p == 0x7f ||
			    (type == TYPE_SECRET && (*p == ' ' || (unsigned char)*p > 0x7f))) {
				(void)snprintf(why, WHY_BYTES, "\"%s\"%s has a %s", o->name, where,
				    type == TYPE_SECRET ? "space, a control character or a letter"
				    " outside ASCII" : "control character");
				return -1;
			}
		if (strcmp(o->name, "handler") == 0)
			return check_name(o->name, where, text, why);
		bad = type == TYPE_SECRET ? NULL : bad_text(o->name, text);
		if (bad != NULL) {
			(void)snprintf(why, WHY_BYTES, "\"%s\"%s %s: \"%s\"", o->name, where, bad,
			    quoted(text, shown, sizeof(shown)));
			return -1;
		}
		return 0;
	case TYPE_LIST:
		return check_name(o->name, where, text, why);
	case TYPE_MS:
	case TYPE_INT:
	case TYPE_BYTES:
	case TYPE_BOOL:
		break;
	}
	if (!number_of(type, text, v_r)) {
		(void)snprintf(why, WHY_BYTES, "\"%s\"%s is \"%s\", not %s", o->name, where,
		    quoted(text, shown, sizeof(shown)), forms[type]);
		return -1;
	}
	if (*v_r < o->min || *v_r > o->max) {
		(void)snprintf(why, WHY_BYTES, "\"%s\"%s is %s, at %s %s", o->name, where,
		    quoted(text, shown, sizeof(shown)), *v_r < o->min ? "least" : "most",
		    number_text(type, *v_r < o->min ? o->min : o->max, bound, sizeof(bound)));
		return -1;
	}
	return 0;
}

static const char *
bad_pool_name(struct span name)
{
	size_t	 i;

	if (name.n == 0 || name.n > 32)
		return "has 1 to 32 characters";
	for (i = 0; i < name.n; i++)
		if (strchr(LOWER DIGITS "_-", name.p[i]) == NULL || name.p[i] == '\0')
			return "is made of a-z, 0-9, _ and -";
	if (span_is(name, "rest") || span_is(name, "supervisor"))
		return "is not one that the supervisor uses itself";
	return NULL;
}

/* ---- the child: the scan ---- */

struct complaint {
	unsigned	 line;		/* 0: none */
	size_t		 nth;
	char		*text;
};

struct seen {				/* an option that the file sets */
	size_t		 row;
	size_t		 pool;		/* index in scan.pools; SIZE_MAX outside */
	unsigned	 line;
};

struct seen_pool {
	struct span	 name;
	unsigned	 line;
};

struct check {
	const char		*path;
	char			*text;		/* the file; comments become blanks */
	size_t			 text_n;
	size_t			 off;
	unsigned		 line;
	bool			 fatal;		/* no use in asking libConfuse */
	struct seen		*seen;
	size_t			 seen_n;
	struct seen_pool	*pools;
	size_t			 pools_n;
	char			**env;		/* names of variables that were used */
	size_t			 env_n;
	struct complaint	 errors[ERRORS_MAX];
	size_t			 errors_n;
	bool			 env_missing;	/* values would be judged without their text */
	size_t			 more_n;	/* errors beyond these */
	struct buf		 rows;		/* the list of CONFIG */
	size_t			 rows_n;
};

static void __attribute__((format(printf, 3, 4)))
complain(struct check *c, unsigned line, const char *fmt, ...)
{
	struct complaint	*e;
	va_list			 ap;
	char			 sentence[WHY_BYTES];

	if (c->errors_n == ERRORS_MAX) {
		c->more_n++;
		return;
	}
	va_start(ap, fmt);
	(void)vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	e = &c->errors[c->errors_n];
	e->line = line;
	e->nth = c->errors_n++;
	e->text = line == 0 ? mem_printf("%s: %s", c->path, sentence) :
	    mem_printf("%s:%u: %s", c->path, line, sentence);
}

enum lex {
	LEX_END, LEX_BAD, LEX_WORD, LEX_QUOTED, LEX_EQ, LEX_ADD, LEX_OPEN, LEX_CLOSE, LEX_COMMA
};

struct token {
	enum lex	 lex;
	struct span	 text;		/* of words; without quotes, escapes as they stand */
	unsigned	 line;
};

static enum lex
lex_fail(struct check *c, unsigned line, const char *why)
{
	complain(c, line, "%s", why);
	c->fatal = true;
	return LEX_BAD;
}

/* ${NAME} or ${NAME:-text} at c->off, closed before end; an unset variable is an error. */
static enum lex
lex_variable(struct check *c, size_t end)
{
	const char	*p = c->text + c->off + 2;
	size_t		 n, i, left = end - c->off;
	char		*name;

	n = left < 3 ? 0 : strspn(p, LETTERS DIGITS "_");
	if (n == 0 || isdigit((unsigned char)p[0]) || n >= left - 2)
		return lex_fail(c, c->line, "\"${\" is not followed by a name and \"}\"");
	i = n;
	if (p[n] == ':' && n + 1 < left - 2 && p[n + 1] == '-')
		i += strcspn(p + n, "}\"\\\n");
	if (i >= left - 2 || p[i] != '}')
		return lex_fail(c, c->line, "\"${\" is not followed by a name and \"}\"");
	name = mem_spandup(span_make(p, n));
	if (i == n && getenv(name) == NULL) {
		complain(c, c->line, "the environment has no variable \"%s\"", name);
		c->env_missing = true;
	}
	c->env = mem_grow(c->env, c->env_n + 1, sizeof(*c->env));
	c->env[c->env_n++] = name;
	c->off += 2 + i + 1;
	return LEX_QUOTED;
}

/* A quoted string from c->off on.  Escapes that libConfuse turns into odd bytes are refused. */
static enum lex
lex_quoted(struct check *c, struct token *t)
{
	const char	*p = c->text;
	char		 quote = p[c->off];
	size_t		 start = ++c->off;

	while (c->off < c->text_n && p[c->off] != quote) {
		if (p[c->off] == '\\') {
			if (c->off + 1 < c->text_n && quote == '"' &&
			    strchr(DIGITS "x\n", p[c->off + 1]) != NULL)
				return lex_fail(c, c->line,
				    "an escape that is not supported; write the character itself");
			c->off++;
			if (c->off < c->text_n && p[c->off] == '\n')
				c->line++;
			c->off += c->off < c->text_n;
		} else if (quote == '"' && p[c->off] == '$' && p[c->off + 1] == '{') {
			if (lex_variable(c, c->text_n) == LEX_BAD)
				return LEX_BAD;
		} else {
			if (p[c->off] == '\n')
				c->line++;
			c->off++;
		}
	}
	if (c->off >= c->text_n)
		return lex_fail(c, t->line, "a quoted text that begins here never ends");
	t->text = span_make(p + start, c->off - start);
	c->off++;
	return LEX_QUOTED;
}

/* Comments, to the end of line or of the comment, become blanks, and line ends stay. */
static bool
lex_comment(struct check *c)
{
	char		*p = c->text + c->off;
	char		*end;
	unsigned	 line = c->line;

	if (*p == '#' || (p[0] == '/' && p[1] == '/'))
		end = p + strcspn(p, "\n");
	else if (p[0] == '/' && p[1] == '*') {
		end = strstr(p + 2, "*/");
		if (end == NULL) {
			(void)lex_fail(c, line, "a comment that begins here never ends");
			return false;
		}
		end += 2;
	} else
		return false;
	for (; p < end; p++)
		if (*p == '\n')
			c->line++;
		else
			*p = ' ';
	c->off = (size_t)(end - c->text);
	return true;
}

/* c->text ends in a NUL, and has no other. */
static struct token
lex_next(struct check *c)
{
	struct token	 t = { LEX_END, SPAN_NONE, 0 };
	const char	*p;
	size_t		 start;

	for (;;) {
		for (; c->off < c->text_n && strchr(" \t\r\n", c->text[c->off]) != NULL; c->off++)
			if (c->text[c->off] == '\n')
				c->line++;
		if (c->off == c->text_n || !lex_comment(c))
			break;
	}
	t.line = c->line;
	if (c->fatal)
		t.lex = LEX_BAD;
	if (c->fatal || c->off == c->text_n)
		return t;
	p = c->text + c->off;
	start = c->off;
	switch (*p) {
	case '=':	t.lex = LEX_EQ; c->off++; return t;
	case '{':	t.lex = LEX_OPEN; c->off++; return t;
	case '}':	t.lex = LEX_CLOSE; c->off++; return t;
	case ',':	t.lex = LEX_COMMA; c->off++; return t;
	case '"':
	case '\'':	t.lex = lex_quoted(c, &t); return t;
	case '+':
		if (p[1] == '=') {
			t.lex = LEX_ADD;
			c->off += 2;
			return t;
		}
		break;
	case '$':
		if (p[1] == '{') {
			t.lex = lex_variable(c, c->text_n);
			if (t.lex != LEX_BAD && c->off < c->text_n &&
			    strchr(" \t\r\n,}#", c->text[c->off]) == NULL)
				t.lex = lex_fail(c, t.line,
				    "a value of several parts needs quotes");
			t.text = span_make(p, c->off - start);
			return t;
		}
		break;
	}
	while (c->off < c->text_n && (isalnum((unsigned char)c->text[c->off]) ||
	    strchr("_.:%@/-", c->text[c->off]) != NULL))
		c->off++;
	t.text = span_make(p, c->off - start);
	t.lex = LEX_WORD;
	if (t.text.n == 0 || memmem(t.text.p, t.text.n, "//", 2) != NULL ||
	    (c->off < c->text_n && strchr(" \t\r\n={},#+", c->text[c->off]) == NULL))
		t.lex = lex_fail(c, t.line, "a character that needs quotes");
	return t;
}

static size_t
option_find(struct span name, bool pool)
{
	size_t	 i;

	for (i = 0; i < OPTIONS_N; i++)
		if (places[i].pool == pool && span_is(name, options[i].name))
			return i;
	return SIZE_MAX;
}

static const char *
where_text(const struct check *c, size_t pool, char *dst, size_t dst_bytes)
{
	char	 name[64];

	*dst = '\0';
	if (pool != SIZE_MAX) {
		(void)span_copy(c->pools[pool].name, name, sizeof(name));
		(void)snprintf(dst, dst_bytes, " in pool \"%s\"", name);
	}
	return dst;
}

static struct seen *
seen_find(const struct check *c, size_t row, size_t pool)
{
	size_t	 i;

	for (i = 0; i < c->seen_n; i++)
		if (c->seen[i].row == row && c->seen[i].pool == pool)
			return &c->seen[i];
	return NULL;
}

static void
unknown_key(struct check *c, struct token key, bool section, size_t pool)
{
	const char	*names[OPTIONS_N + 1];
	char		 word[64], shown[64], where[96], say[128];
	size_t		 i, n = 0;

	(void)span_copy(key.text, word, sizeof(word));
	for (i = 0; i < OPTIONS_N; i++)
		if (places[i].pool == (pool != SIZE_MAX))
			names[n++] = options[i].name;
	if (pool == SIZE_MAX)
		names[n++] = "pool";
	suggest(word, names, n, say, sizeof(say));
	complain(c, key.line, "unknown %s \"%s\"%s%s", section ? "section" : "option",
	    quoted(word, shown, sizeof(shown)), where_text(c, pool, where, sizeof(where)), say);
}

/* Behind = or +=. */
static int
scan_values(struct check *c, bool *list_r)
{
	struct token	 t = lex_next(c);
	bool		 word_due = true;

	*list_r = t.lex == LEX_OPEN;
	if (t.lex == LEX_WORD || t.lex == LEX_QUOTED)
		return 0;
	if (t.lex != LEX_OPEN) {
		if (t.lex != LEX_BAD)
			(void)lex_fail(c, t.line, "a value is missing");
		return -1;
	}
	for (;;) {
		t = lex_next(c);
		if (t.lex == LEX_BAD)
			return -1;
		if (t.lex == LEX_CLOSE)
			return 0;
		if (word_due ? t.lex != LEX_WORD && t.lex != LEX_QUOTED : t.lex != LEX_COMMA) {
			(void)lex_fail(c, t.line, word_due ? "a value of the list is missing" :
			    "\",\" or \"}\" is missing in a list");
			return -1;
		}
		word_due = !word_due;
	}
}

static int
scan_setting(struct check *c, struct token key, bool add, size_t pool)
{
	struct seen	*before;
	char		 where[96];
	size_t		 row = option_find(key.text, pool != SIZE_MAX);
	bool		 list;

	if (scan_values(c, &list) == -1)
		return -1;
	if (row == SIZE_MAX) {
		if (option_find(key.text, pool == SIZE_MAX) == SIZE_MAX)
			unknown_key(c, key, false, pool);
		else
			complain(c, key.line, pool == SIZE_MAX ?
			    "\"%.*s\" belongs inside pool \"name\" { }" :
			    "\"%.*s\" belongs outside of the pools", (int)key.text.n, key.text.p);
		return 1;
	}
	(void)where_text(c, pool, where, sizeof(where));
	if (places[row].type != TYPE_LIST && (list || add)) {
		complain(c, key.line, "\"%s\"%s takes one value, not a list",
		    options[row].name, where);
		return 1;
	}
	before = seen_find(c, row, pool);
	if (before != NULL) {
		if (!add) {
			complain(c, key.line, "\"%s\"%s is set twice, first in line %u",
			    options[row].name, where, before->line);
			before->line = key.line;	/* libConfuse gives the last value */
		}
		return 0;
	}
	c->seen = mem_grow(c->seen, c->seen_n + 1, sizeof(*c->seen));
	c->seen[c->seen_n++] = (struct seen){ row, pool, key.line };
	return 0;
}

static int
scan_unknown_body(struct check *c)
{
	struct token	 t;
	unsigned	 depth = 1;

	while (depth > 0) {
		t = lex_next(c);
		if (t.lex == LEX_BAD || t.lex == LEX_END)
			return -1;
		depth += t.lex == LEX_OPEN;
		depth -= t.lex == LEX_CLOSE;
	}
	return 0;
}

/* "pool" has been read, and its title if it has one; true when libConfuse may see it. */
static bool
scan_pool_head(struct check *c, struct token key, struct token title)
{
	const char	*bad;
	char		 name[64], shown[64];
	size_t		 i;
	bool		 ok = true;

	if (title.lex != LEX_QUOTED && title.lex != LEX_WORD) {
		complain(c, key.line, "a pool without a name");
		return false;
	}
	bad = bad_pool_name(title.text);
	(void)span_copy(title.text, name, sizeof(name));
	if (bad != NULL)
		complain(c, title.line, "pool name \"%s\": a name %s",
		    quoted(name, shown, sizeof(shown)), bad);
	for (i = 0; i < c->pools_n; i++)
		if (span_eq(c->pools[i].name, title.text)) {
			complain(c, title.line, "pool \"%s\" stands twice, first in line %u",
			    quoted(name, shown, sizeof(shown)), c->pools[i].line);
			ok = false;
			break;
		}
	c->pools = mem_grow(c->pools, c->pools_n + 1, sizeof(*c->pools));
	c->pools[c->pools_n++] = (struct seen_pool){ title.text, title.line };
	return ok;
}

/* Statements up to the end of the file, or of the pool.  False: libConfuse need not be asked. */
static bool
scan_block(struct check *c, size_t pool, unsigned open_line)
{
	struct token	 key, t, title;
	bool		 clean = true;
	int		 rv;

	for (;;) {
		key = lex_next(c);
		if (key.lex == LEX_BAD)
			return false;
		if (key.lex == LEX_END && pool == SIZE_MAX)
			return clean;
		if (key.lex == LEX_CLOSE && pool != SIZE_MAX)
			return clean;
		if (key.lex == LEX_END) {
			(void)lex_fail(c, open_line,
			    "the pool that begins here is not closed with \"}\"");
			return false;
		}
		if (key.lex != LEX_WORD) {
			(void)lex_fail(c, key.line, key.lex == LEX_CLOSE ?
			    "\"}\" without \"{\"" : "the name of an option is missing");
			return false;
		}
		t = lex_next(c);
		title = t;
		if (t.lex == LEX_EQ || t.lex == LEX_ADD) {
			rv = scan_setting(c, key, t.lex == LEX_ADD, pool);
			if (rv == -1)
				return false;
			clean = clean && rv == 0;
			continue;
		}
		if (t.lex == LEX_QUOTED || t.lex == LEX_WORD)
			t = lex_next(c);
		if (t.lex != LEX_OPEN) {
			if (t.lex != LEX_BAD)
				complain(c, key.line, "\"=\" is missing after \"%.*s\"",
				    (int)(key.text.n > 64 ? 64 : key.text.n), key.text.p);
			c->fatal = true;
			return false;
		}
		if (!span_is(key.text, "pool") || pool != SIZE_MAX) {
			if (span_is(key.text, "pool"))
				complain(c, key.line, "a pool inside a pool");
			else
				unknown_key(c, key, true, pool);
			clean = false;
			if (scan_unknown_body(c) == -1)
				return false;
			continue;
		}
		if (!scan_pool_head(c, key, title)) {
			clean = false;
			if (title.lex != LEX_QUOTED && title.lex != LEX_WORD) {
				if (scan_unknown_body(c) == -1)
					return false;
				continue;
			}
		}
		if (!scan_block(c, c->pools_n - 1, key.line))
			clean = false;
		if (c->fatal)
			return false;
	}
}

/* ---- the child: reading ---- */

static int
read_text(struct check *c)
{
	struct buf	 b = { 0 };
	const char	*nul;
	unsigned	 line = 1;
	ssize_t		 n;
	size_t		 i;
	int		 fd;

	fd = open(c->path, O_RDONLY | O_CLOEXEC);
	if (fd == -1) {
		complain(c, 0, "%s", strerror(errno));
		return -1;
	}
	do {
		n = read(fd, buf_room(&b, 65536), 65536);
		if (n > 0)
			buf_added(&b, (size_t)n);
	} while ((n > 0 && b.n <= FILE_BYTES_MAX) || (n == -1 && errno == EINTR));
	if (n == -1)
		complain(c, 0, "%s", strerror(errno));
	else if (b.n > FILE_BYTES_MAX)
		complain(c, 0, "larger than %u bytes", FILE_BYTES_MAX);
	(void)close(fd);
	c->text_n = b.n;
	c->text = mem_spandup(buf_span(&b));
	if (b.n > 0)
		explicit_bzero(b.p, b.cap);
	buf_fini(&b);
	if (c->errors_n > 0)
		return -1;
	nul = memchr(c->text, '\0', c->text_n);
	if (nul != NULL) {
		for (i = 0; c->text + i < nul; i++)
			line += c->text[i] == '\n';
		complain(c, line, "a NUL byte");
		return -1;
	}
	return 0;
}

/* The first line; NULL after a complaint. */
static char *
read_token(struct check *c, const char *path, unsigned line, bool needed)
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
			complain(c, line, "\"token_file\" cannot be read: %s: %s", path,
			    strerror(errno));
		return NULL;
	}
	text[n] = '\0';
	len = strcspn(text, "\r\n");
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	token = mem_spandup(span_make(text, len));
	explicit_bzero(text, sizeof(text));
	if (len == 0 && needed)
		complain(c, line, "\"token_file\" is empty in its first line: %s", path);
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
	complain(confuse_check, cfg == NULL ? 0 : (unsigned)cfg->line, "%s", text);
}

#define CONFUSE_STR(name)	CFG_STR(#name, NULL, CFGF_NODEFAULT)
#define CONFUSE_SECRET(name)	CFG_STR(#name, NULL, CFGF_NODEFAULT)
#define CONFUSE_MS(name)	CFG_STR(#name, NULL, CFGF_NODEFAULT)
#define CONFUSE_INT(name)	CFG_STR(#name, NULL, CFGF_NODEFAULT)
#define CONFUSE_BYTES(name)	CFG_STR(#name, NULL, CFGF_NODEFAULT)
#define CONFUSE_BOOL(name)	CFG_STR(#name, NULL, CFGF_NODEFAULT)
#define CONFUSE_LIST(name)	CFG_STR_LIST(#name, NULL, CFGF_NODEFAULT)

/* NULL after a complaint.  All values are taken as text: check_value knows better sentences. */
static cfg_t *
confuse(struct check *c)
{
	cfg_opt_t	 pool_opts[] = {
#define OPT_GLOBAL(type, name)
#define OPT_POOL(type, name)	CONFUSE_##type(name),
#define OPT(scope, type, name, def, min, max, reload, help) OPT_##scope(type, name)
#include "proto/options.def"
#undef OPT_GLOBAL
#undef OPT_POOL
		CFG_END()
	};
	cfg_opt_t	 opts[] = {
#define OPT_GLOBAL(type, name)	CONFUSE_##type(name),
#define OPT_POOL(type, name)
#include "proto/options.def"
#undef OPT
#undef OPT_GLOBAL
#undef OPT_POOL
		CFG_SEC("pool", pool_opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_END()
	};
	cfg_t		*cfg = cfg_init(opts, CFGF_NONE);

	if (cfg == NULL) {
		complain(c, 0, "libConfuse refused its table");
		return NULL;
	}
	confuse_check = c;
	(void)cfg_set_error_function(cfg, confuse_error);
	if (cfg_parse_buf(cfg, c->text) == CFG_SUCCESS)
		return cfg;
	if (c->errors_n == 0)
		complain(c, 0, "libConfuse refused it");
	cfg_free(cfg);
	return NULL;
}

static void
add_row(struct check *c, const char *section, const char *title, const char *option,
    const char *value)
{
	msg_list_str(&c->rows, span_of(section));
	msg_list_str(&c->rows, span_of(title));
	msg_list_str(&c->rows, span_of(option));
	msg_list_str(&c->rows, span_of(value));
	c->rows_n++;
}

/* The effective text of one value: a base for paths ends without a slash. */
static char *
tidy(size_t row, const char *text)
{
	char	*s = mem_strdup(text);
	size_t	 n = strlen(s);

	if (strcmp(options[row].name, "api_url") == 0 ||
	    strcmp(options[row].name, "runtime_dir") == 0)
		while (n > 1 && s[n - 1] == '/')
			s[--n] = '\0';
	return s;
}

static void
read_list(struct check *c, cfg_opt_t *opt, size_t row, const char *title, const char *where,
    unsigned line)
{
	const struct cfg_option	*o = &options[row];
	unsigned		 n = cfg_opt_size(opt), i, j;
	const char		*word;
	char			 why[WHY_BYTES];
	uint64_t		 v;

	if (n < o->min || n > o->max) {
		complain(c, line, "\"%s\"%s names %u, at %s %" PRIu64, o->name, where, n,
		    n < o->min ? "least" : "most", n < o->min ? o->min : o->max);
		return;
	}
	for (i = 0; i < n; i++) {
		word = cfg_opt_getnstr(opt, i);
		if (check_value(row, where, word, &v, why) == -1) {
			complain(c, line, "%s", why);
			continue;
		}
		for (j = 0; j < i; j++)
			if (strcmp(word, cfg_opt_getnstr(opt, j)) == 0)
				complain(c, line, "\"%s\"%s names %s twice", o->name, where, word);
		if (n > 1 && strcmp(word, "auto") == 0)
			complain(c, line, "\"%s\": auto stands alone", o->name);
		add_row(c, o->scope, title, o->name, word);
	}
	if (n == 0)
		add_row(c, o->scope, title, o->name, "");	/* set, to nothing */
}

/* Check one option of the file or its default, and make its rows. */
static void
read_option(struct check *c, cfg_t *section, size_t row, size_t pool, const char *title)
{
	const struct cfg_option	*o = &options[row];
	const struct seen	*seen = seen_find(c, row, pool);
	cfg_opt_t		*opt = cfg_getopt(section, o->name);
	const char		*text = o->def;
	char			 where[96], why[WHY_BYTES], *tidied;
	unsigned		 line = 0;
	uint64_t		 v = 0;

	if (seen != NULL)
		line = seen->line;
	else if (pool != SIZE_MAX)
		line = c->pools[pool].line;
	(void)where_text(c, pool, where, sizeof(where));
	if (seen != NULL && places[row].type == TYPE_LIST) {
		read_list(c, opt, row, title, where, line);
		return;
	}
	if (seen != NULL && cfg_opt_size(opt) > 0)
		text = cfg_opt_getnstr(opt, 0);
	if (text == NULL) {
		if (strcmp(o->name, "handler") == 0)
			complain(c, line, "\"handler\"%s is missing", where);
		return;
	}
	if (check_value(row, where, text, &v, why) == -1) {
		complain(c, line, "%s", why);
		return;
	}
	if (strcmp(o->name, "ca_file") == 0 && access(text, R_OK) == -1)
		complain(c, line, "\"ca_file\" cannot be read: %s: %s", text, strerror(errno));
	tidied = tidy(row, text);
	add_row(c, o->scope, title, o->name, tidied);
	mem_wipe_free(&tidied);
}

static void
read_token_options(struct check *c, cfg_t *cfg, bool need_token)
{
	const struct seen	*token, *file;
	const char		*path;
	char			*text, why[WHY_BYTES];
	size_t			 row = option_find(SPAN("token"), false);
	uint64_t		 v;

	token = seen_find(c, row, SIZE_MAX);
	file = seen_find(c, option_find(SPAN("token_file"), false), SIZE_MAX);
	if (token != NULL && file != NULL)
		complain(c, file->line > token->line ? file->line : token->line,
		    "\"token\" and \"token_file\" are both set; keep one");
	else if (token == NULL && file == NULL && need_token)
		complain(c, 0, "neither \"token\" nor \"token_file\" is set");
	path = file == NULL || token != NULL ? NULL : cfg_getstr(cfg, "token_file");
	if (path == NULL || path[0] != '/')	/* the latter has been complained about */
		return;
	text = read_token(c, path, file->line, need_token);
	if (text == NULL)
		return;
	if (check_value(row, " from \"token_file\"", text, &v, why) == 0)
		add_row(c, options[row].scope, "", options[row].name, text);
	else if (need_token)
		complain(c, file->line, "%s", why);
	mem_wipe_free(&text);
}

static void
read_values(struct check *c, cfg_t *cfg, bool need_token)
{
	size_t		 row, p, i;
	cfg_t		*section;

	for (row = 0; row < OPTIONS_N; row++)
		if (!places[row].pool)
			read_option(c, cfg, row, SIZE_MAX, "");
	read_token_options(c, cfg, need_token);
	for (p = 0; p < c->pools_n && p < cfg_size(cfg, "pool"); p++) {
		section = cfg_getnsec(cfg, "pool", (unsigned)p);
		for (row = 0; row < OPTIONS_N; row++)
			if (places[row].pool)
				read_option(c, section, row, p, cfg_title(section));
	}
	for (i = 0; i < c->env_n; i++)
		add_row(c, "env", "", c->env[i], "");
	if (c->rows_n > ROWS_MAX)
		complain(c, 0, "more than %u values", ROWS_MAX);
}

/* In the order of the file; what has no line comes last. */
static int
by_line(const void *a, const void *b)
{
	const struct complaint	*x = a, *y = b;

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

	if (c->errors_n == 0) {
		config.rows = msg_list_of(&c->rows);
		if (msg_pack(out, MSG_CONFIG, &config, &why) == 0)
			return 0;
		complain(c, 0, "%s", why);
	}
	qsort(c->errors, c->errors_n, sizeof(c->errors[0]), by_line);
	if (c->more_n > 0) {
		last = c->errors[ERRORS_MAX - 1].text;
		c->errors[ERRORS_MAX - 1].text = mem_printf("%s: and %zu more errors", c->path,
		    c->more_n + 1);
		free(last);
	}
	for (i = 0; i < c->errors_n; i++)
		msg_list_str(&list, span_of(c->errors[i].text));
	bad.errors = msg_list_of(&list);
	rv = msg_pack(out, MSG_CONFIG_BAD, &bad, NULL);
	assert(rv == 0);
	buf_fini(&list);
	return -1;
}

int
cfg_check_file(const char *path, bool need_token, struct buf *out)
{
	struct check	 c = { .path = path, .line = 1 };
	cfg_t		*cfg = NULL;
	size_t		 i;
	int		 rv;

	if (read_text(&c) == 0 && scan_block(&c, SIZE_MAX, 0)) {
		if (c.pools_n == 0)
			complain(&c, 0,
			    "no pool: at least one pool \"name\" { handler = ... } is needed");
		cfg = c.env_missing ? NULL : confuse(&c);
		if (cfg != NULL)
			read_values(&c, cfg, need_token);
	}
	rv = write_frame(&c, out);
	if (cfg != NULL)
		cfg_free(cfg);
	for (i = 0; i < c.errors_n; i++)
		free(c.errors[i].text);
	for (i = 0; i < c.env_n; i++)
		free(c.env[i]);
	free(c.env);
	free(c.seen);
	free(c.pools);
	if (c.rows.cap > 0)
		explicit_bzero(c.rows.p, c.rows.cap);
	buf_fini(&c.rows);
	if (c.text != NULL)
		explicit_bzero(c.text, c.text_n);
	free(c.text);
	return rv;
}

/* ---- the struct ---- */

static void *
value_at(size_t row, void *base)
{
	return (char *)base + places[row].offset;
}

static const void *
value_of(size_t row, const void *base)
{
	return (const char *)base + places[row].offset;
}

static void
list_fini(struct cfg_list *l)
{
	size_t	 i;

	for (i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	memset(l, 0, sizeof(*l));
}

/* Put a checked value in its place.  The words of a list come one by one. */
static void
store(size_t row, void *base, const char *text, uint64_t v)
{
	const struct cfg_option	*o = &options[row];
	struct cfg_list		*l;
	char			**s;

	switch (places[row].type) {
	case TYPE_STR:
	case TYPE_SECRET:
		s = value_at(row, base);
		mem_wipe_free(s);
		*s = mem_strdup(text);
		return;
	case TYPE_MS:
	case TYPE_INT:
	case TYPE_BYTES:
		*(uint64_t *)value_at(row, base) = v;
		return;
	case TYPE_BOOL:
		*(bool *)value_at(row, base) = v != 0;
		return;
	case TYPE_LIST:
		break;
	}
	l = value_at(row, base);
	if (!l->set)
		list_fini(l);
	l->set = true;
	if (*text == '\0')
		return;
	l->v = mem_grow(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = mem_strdup(text);
	if (l->n == 1 && o->def != NULL && strcmp(text, o->def) == 0)
		l->set = false;		/* written out, and yet the default */
}

static void
set_defaults(void *base, bool pool)
{
	size_t		 row;
	uint64_t	 v;
	char		 why[WHY_BYTES];
	int		 rv;

	for (row = 0; row < OPTIONS_N; row++)
		if (places[row].pool == pool && options[row].def != NULL) {
			v = 0;
			rv = check_value(row, "", options[row].def, &v, why);
			assert(rv == 0);
			store(row, base, options[row].def, v);
		}
}

static struct cfg_pool *
pool_get(struct cfg *cfg, struct span name)
{
	struct cfg_pool	*p;
	size_t		 i;

	for (i = 0; i < cfg->pools_n; i++)
		if (span_is(name, cfg->pools[i].name))
			return &cfg->pools[i];
	cfg->pools = mem_grow(cfg->pools, cfg->pools_n + 1, sizeof(*cfg->pools));
	p = &cfg->pools[cfg->pools_n++];
	memset(p, 0, sizeof(*p));
	p->name = mem_spandup(name);
	set_defaults(p, true);
	return p;
}

static uint64_t
intents_of(const struct cfg *cfg)
{
	const struct cfg_pool	*p;
	uint64_t		 bits = 0;
	bool			 reads = false;
	size_t			 i, j;

	if (cfg->intents.set) {
		for (i = 0; i < cfg->intents.n; i++)
			for (j = 0; j < INTENTS_N; j++)
				if (strcmp(cfg->intents.v[i], intents[j].name) == 0)
					bits |= intents[j].bits;
		return bits;
	}
	for (i = 0; i < cfg->pools_n; i++) {
		p = &cfg->pools[i];
		for (j = 0; j < EVENTS_N; j++)
			if (cfg_pool_wants(p, events[j]))
				bits |= event_intents[j];
		/* Of the MESSAGE_ events these two carry what was written. */
		reads = reads || cfg_pool_wants(p, "MESSAGE_CREATE") ||
		    cfg_pool_wants(p, "MESSAGE_UPDATE");
	}
	if (reads && cfg->content)
		bits |= INTENT_MESSAGE_CONTENT;
	return bits;
}

static uint64_t
hash_section(uint64_t h, const void *base, bool pool)
{
	const struct cfg_list	*l;
	size_t			 row, i;

	for (row = 0; row < OPTIONS_N; row++) {
		if (places[row].pool != pool || places[row].type == TYPE_SECRET)
			continue;
		h = span_hash_add(h, span_of(options[row].name));
		switch (places[row].type) {
		case TYPE_STR:
			h = span_hash_add(h, span_of(*(char *const *)value_of(row, base)));
			break;
		case TYPE_BOOL:
			h = span_hash_add_u64(h, *(const bool *)value_of(row, base));
			break;
		case TYPE_LIST:
			l = value_of(row, base);
			h = span_hash_add_u64(h, l->set);
			h = span_hash_add_u64(h, l->n);
			for (i = 0; i < l->n; i++)
				h = span_hash_add(h, span_of(l->v[i]));
			break;
		default:
			h = span_hash_add_u64(h, *(const uint64_t *)value_of(row, base));
		}
	}
	return h;
}

static uint64_t
hash_of(const struct cfg *cfg)
{
	uint64_t	 h = hash_section(SPAN_HASH_SEED, cfg, false);
	size_t		 i;

	for (i = 0; i < cfg->pools_n; i++) {
		h = span_hash_add(h, span_of(cfg->pools[i].name));
		h = hash_section(h, &cfg->pools[i], true);
	}
	return span_hash_end(h);
}

static char	 frame_why[WHY_BYTES];

static int
frame_refuse(const char *why)
{
	(void)strlcpy(frame_why, why, sizeof(frame_why));
	return -1;
}

static int
apply_row(struct cfg *cfg, struct span section, struct span title, struct span option,
    struct span value)
{
	struct cfg_pool	*pool = NULL;
	void		*base = cfg;
	char		*text, where[96] = "";
	uint64_t	 v = 0;
	size_t		 row;
	int		 rv = 0;

	if (span_is(section, "env"))
		return 0;
	if (span_is(section, SCOPE_POOL)) {
		if (bad_pool_name(title) != NULL)
			return frame_refuse("a pool with a name that none may have");
		base = pool = pool_get(cfg, title);
		(void)snprintf(where, sizeof(where), " in pool \"%s\"", pool->name);
	} else if (!span_is(section, SCOPE_GLOBAL))
		return frame_refuse("a row of an unknown section");
	row = option_find(option, pool != NULL);
	if (row == SIZE_MAX || (value.n > 0 && memchr(value.p, '\0', value.n) != NULL))
		return frame_refuse("a row of an unknown option, or with a NUL");
	text = mem_spandup(value);
	if (places[row].type != TYPE_LIST || *text != '\0')
		rv = check_value(row, where, text, &v, frame_why);
	if (rv == 0)
		store(row, base, text, v);
	mem_wipe_free(&text);
	return rv;
}

/* What no single row can say. */
static int
check_whole(const struct cfg *cfg)
{
	size_t	 i;

	if (cfg->pools_n == 0)
		return frame_refuse("no pool");
	for (i = 0; i < cfg->pools_n; i++)
		if (cfg->pools[i].handler == NULL)
			return frame_refuse("a pool without \"handler\"");
	return 0;
}

static struct cfg *
cfg_of_rows(struct msg_list rows, const char **why_r)
{
	struct msg_list_iter	 it = { rows.raw, 0 };
	struct cfg		*cfg = mem_alloc(sizeof(*cfg));
	struct span		 f[4];
	size_t			 i;

	set_defaults(cfg, false);
	while (msg_list_more(&it)) {
		for (i = 0; i < 4; i++)
			if (!msg_list_next_str(&it, &f[i])) {
				(void)frame_refuse("a row that is not four strings");
				goto bad;
			}
		if (apply_row(cfg, f[0], f[1], f[2], f[3]) == -1)
			goto bad;
	}
	if (check_whole(cfg) == -1)
		goto bad;
	cfg->intents_bits = intents_of(cfg);
	cfg->hash = hash_of(cfg);
	return cfg;
bad:
	*why_r = frame_why;
	cfg_unload(&cfg);
	return NULL;
}

struct cfg *
cfg_of_frame(struct span payload, const char **why_r)
{
	msgpack_zone	 zone;
	struct msg_in	 in;
	struct cfg	*cfg = NULL;

	if (!msgpack_zone_init(&zone, 1024)) {
		*why_r = "out of memory";
		return NULL;
	}
	if (msg_unpack(payload, &zone, &in) == -1)
		*why_r = in.why;
	else if (in.type != MSG_CONFIG)
		*why_r = "not a CONFIG message";
	else
		cfg = cfg_of_rows(in.CONFIG.rows, why_r);
	msgpack_zone_destroy(&zone);
	return cfg;
}

static void
section_fini(void *base, bool pool)
{
	size_t	 row;

	for (row = 0; row < OPTIONS_N; row++) {
		if (places[row].pool != pool)
			continue;
		if (places[row].type == TYPE_STR || places[row].type == TYPE_SECRET)
			mem_wipe_free(value_at(row, base));
		else if (places[row].type == TYPE_LIST)
			list_fini(value_at(row, base));
	}
}

void
cfg_unload(struct cfg **cfgp)
{
	struct cfg	*cfg = *cfgp;
	size_t		 i;

	if (cfg == NULL)
		return;
	for (i = 0; i < cfg->pools_n; i++) {
		section_fini(&cfg->pools[i], true);
		free(cfg->pools[i].name);
	}
	free(cfg->pools);
	section_fini(cfg, false);
	free(cfg);
	*cfgp = NULL;
}

/* ---- the parent ---- */

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
		argv[n++] = "-g";
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

/* ---- show config ---- */

static bool
is_default(size_t row, const void *base)
{
	const char	*text, *def = options[row].def;
	uint64_t	 v = 0;

	switch (places[row].type) {
	case TYPE_STR:
	case TYPE_SECRET:
		text = *(char *const *)value_of(row, base);
		return text == NULL ? def == NULL : def != NULL && strcmp(text, def) == 0;
	case TYPE_LIST:
		return !((const struct cfg_list *)value_of(row, base))->set;
	case TYPE_BOOL:
		return def != NULL && number_of(TYPE_BOOL, def, &v) &&
		    *(const bool *)value_of(row, base) == (v != 0);
	default:
		return def != NULL && number_of(places[row].type, def, &v) &&
		    *(const uint64_t *)value_of(row, base) == v;
	}
}

static void
json_value(struct json_out *o, size_t row, const void *base)
{
	const struct cfg_list	*l;
	const char		*text;
	char			 number[32];
	size_t			 i;

	switch (places[row].type) {
	case TYPE_STR:
		json_cstr(o, *(char *const *)value_of(row, base));
		break;
	case TYPE_SECRET:
		text = *(char *const *)value_of(row, base);
		json_cstr(o, text == NULL ? "(not set)" : "(set)");
		break;
	case TYPE_MS:
		json_raw(o, span_of(number_text(TYPE_MS, *(const uint64_t *)value_of(row, base),
		    number, sizeof(number))));
		break;
	case TYPE_INT:
	case TYPE_BYTES:
		json_u64(o, *(const uint64_t *)value_of(row, base));
		break;
	case TYPE_BOOL:
		json_bool(o, *(const bool *)value_of(row, base));
		break;
	case TYPE_LIST:
		l = value_of(row, base);
		json_arr(o);
		for (i = 0; i < l->n; i++)
			json_cstr(o, l->v[i]);
		json_arr_end(o);
		break;
	}
}

static void
json_section(struct json_out *o, const void *base, const char *pool)
{
	size_t	 row;

	for (row = 0; row < OPTIONS_N; row++) {
		if (places[row].pool != (pool != NULL))
			continue;
		json_obj(o);
		json_kv_cstr(o, "scope", options[row].scope);
		json_kv_cstr(o, "pool", pool);
		json_kv_cstr(o, "name", options[row].name);
		json_key(o, "value");
		json_value(o, row, base);
		json_kv_cstr(o, "type", options[row].type);
		json_kv_bool(o, "default", is_default(row, base));
		json_kv_cstr(o, "reload", options[row].reload);
		json_obj_end(o);
	}
}

void
cfg_json(const struct cfg *cfg, struct buf *out)
{
	struct json_out	 o;
	char		 hash[32];
	size_t		 i;

	(void)snprintf(hash, sizeof(hash), "%016" PRIx64, cfg->hash);
	json_out_init(&o, out);
	json_obj(&o);
	json_kv_cstr(&o, "hash", hash);
	json_key(&o, "intents");
	json_arr(&o);
	for (i = 0; i < INTENTS_N; i++)
		if ((cfg->intents_bits & intents[i].bits) != 0)
			json_cstr(&o, intents[i].name);
	json_arr_end(&o);
	json_key(&o, "options");
	json_arr(&o);
	json_section(&o, cfg, NULL);
	for (i = 0; i < cfg->pools_n; i++)
		json_section(&o, &cfg->pools[i], cfg->pools[i].name);
	json_arr_end(&o);
	json_obj_end(&o);
}
