/*
 * cfgrow - see cfgrow.h.
 */
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "common/address.h"
#include "common/cfgrow.h"
#include "common/log.h"
#include "common/url.h"
#include "common/words.h"

#define DIGITS		"0123456789"
#define LOWER		"abcdefghijklmnopqrstuvwxyz"
#define UPPER		"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define EVENTS_MAX	128
#define INTENTS_MAX	64
#define WORD_MAX	64	/* bytes of a stop word */
#define HEADER_MAX	512	/* bytes of "Name: value" */
#define ENV_BYTES_MAX	4096	/* of NAME=value */
#define EXEC		"exec:"

/* ---- the table ---- */

#define TEXT_STR	"text"
#define TEXT_SECRET	"secret"
#define TEXT_MS		"seconds"
#define TEXT_INT	"number"
#define TEXT_BYTES	"bytes"
#define TEXT_BOOL	"yes or no"
#define TEXT_LIST	"list"
#define RELOAD_LIVE	"live"
#define RELOAD_ROLL	"roll"
#define RELOAD_START	"start"

#define FIELD_STR(name)		name
#define FIELD_SECRET(name)	name
#define FIELD_MS(name)		name##_ms
#define FIELD_INT(name)		name
#define FIELD_BYTES(name)	name##_bytes
#define FIELD_BOOL(name)	name
#define FIELD_LIST(name)	name
#define STRUCT_GLOBAL		struct cfg
#define STRUCT_POOL		struct cfg_pool
#define STRUCT_MODEL		struct cfg_model
#define STRUCT_CHAT		struct cfg_chat

#define NAME_GLOBAL		"global"
#define NAME_POOL		"pool"
#define NAME_MODEL		"model"
#define NAME_CHAT		"chat"

static const struct {
	const char	*name;
	bool		 titled;
} scopes[CFG_SCOPE__N] = {
	[CFG_SCOPE_GLOBAL] = { NAME_GLOBAL, false },
	[CFG_SCOPE_POOL] = { NAME_POOL, true },
	[CFG_SCOPE_MODEL] = { NAME_MODEL, true },
	[CFG_SCOPE_CHAT] = { NAME_CHAT, false },
};

static const struct cfg_option options[] = {
#define OPT(scope, type, name, def, min, max, reload, help)			\
	{ NAME_##scope, TEXT_##type, #name, def, RELOAD_##reload, help, min, max, \
	  CFG_TYPE_##type, CFG_SCOPE_##scope, CFG_##reload,			\
	  offsetof(STRUCT_##scope, FIELD_##type(name)),				\
	  offsetof(STRUCT_##scope, name##_origin) },
#include "proto/options.def"
#undef OPT
};
#define OPTIONS_N	(sizeof(options) / sizeof(options[0]))

const struct cfg_option *
cfg_options(size_t *n_r)
{
	*n_r = OPTIONS_N;
	return options;
}

const struct cfg_option *
cfgrow_find(struct span name, enum cfg_scope scope)
{
	for (size_t i = 0; i < OPTIONS_N; i++)
		if (options[i].in == scope && span_is(name, options[i].name))
			return &options[i];
	return NULL;
}

const struct cfg_option *
cfgrow_next(const struct cfg_option *o, enum cfg_scope scope)
{
	for (o = o == NULL ? options : o + 1; o < options + OPTIONS_N; o++)
		if (o->in == scope)
			return o;
	return NULL;
}

const char *
cfgrow_scope_name(enum cfg_scope scope)
{
	return scopes[scope].name;
}

bool
cfgrow_scope_titled(enum cfg_scope scope)
{
	return scopes[scope].titled;
}

bool
cfgrow_scope_of(struct span name, enum cfg_scope *scope_r)
{
	for (int s = CFG_SCOPE_GLOBAL + 1; s < CFG_SCOPE__N; s++)
		if (span_is(name, scopes[s].name)) {
			*scope_r = (enum cfg_scope)s;
			return true;
		}
	return false;
}

const struct role_row *
cfgrow_handler(const char *name)
{
	/* The supervisor's own. */
	if (strcmp(name, "rest") == 0 || strcmp(name, "web") == 0)
		return NULL;
	return table_role(name);
}

const char *
cfgrow_command(const char *handler)
{
	size_t	 n = sizeof(EXEC) - 1;

	return strncmp(handler, EXEC, n) == 0 ? handler + n : NULL;
}

bool
cfgrow_is_env(const struct cfg_option *o)
{
	return o->in == CFG_SCOPE_POOL && strcmp(o->name, "env") == 0;
}

struct span
cfgrow_env_name(const char *text)
{
	return span_make(text, strcspn(text, "="));
}

/* ---- sentences ---- */

const char *
cfgrow_where(enum cfg_scope scope, struct span title, char *dst, size_t dst_bytes)
{
	char	 name[64];

	*dst = '\0';
	if (scope == CFG_SCOPE_GLOBAL)
		return dst;
	(void)snprintf(dst, dst_bytes, " in %s", scopes[scope].name);
	if (scopes[scope].titled) {
		(void)span_copy(title, name, sizeof(name));
		(void)snprintf(dst, dst_bytes, " in %s \"%s\"", scopes[scope].name, name);
	}
	return dst;
}

void
cfgrow_suggest(const char *word, const char *const *names, size_t names_n, char *dst,
    size_t dst_bytes)
{
	const char	*near = span_nearest(span_of(word), names, names_n);

	*dst = '\0';
	if (near != NULL)
		(void)snprintf(dst, dst_bytes, "; did you mean \"%s\"?", near);
}

const char *
cfgrow_quoted(const char *text, char *dst, size_t dst_bytes)
{
	size_t	 i;

	for (i = 0; text[i] != '\0' && i + 4 < dst_bytes; i++)
		dst[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
	dst[i] = '\0';
	if (text[i] != '\0')
		(void)strlcat(dst, "...", dst_bytes);
	return dst;
}

const char *
cfgrow_number_text(enum cfg_type type, uint64_t v, char *dst, size_t dst_bytes)
{
	size_t	 n;

	if (type == CFG_TYPE_MS) {
		(void)snprintf(dst, dst_bytes, "%" PRIu64 ".%03u", v / 1000, (unsigned)(v % 1000));
		for (n = strlen(dst); dst[n - 1] == '0'; n--)
			continue;
		dst[dst[n - 1] == '.' ? n - 1 : n] = '\0';
	} else if (type == CFG_TYPE_BYTES && v >= 1 << 30 && v % (1 << 30) == 0)
		(void)snprintf(dst, dst_bytes, "%" PRIu64 "G", v >> 30);
	else if (type == CFG_TYPE_BYTES && v >= 1 << 20 && v % (1 << 20) == 0)
		(void)snprintf(dst, dst_bytes, "%" PRIu64 "M", v >> 20);
	else if (type == CFG_TYPE_BYTES && v >= 1 << 10 && v % (1 << 10) == 0)
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

bool
cfgrow_number(enum cfg_type type, const char *text, uint64_t *v_r)
{
	switch (type) {
	case CFG_TYPE_MS:	return seconds_of(text, v_r);
	case CFG_TYPE_INT:	return span_u64(span_of(text), v_r);
	case CFG_TYPE_BYTES:	return bytes_of(text, v_r);
	case CFG_TYPE_BOOL:	return bool_of(text, v_r);
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

/* NULL when it is a base that a path may be appended to, else what is wrong with it. */
static const char *
bad_api_url(const char *url)
{
	struct url	 u;
	const char	*bad = url_parse(url, URL_HTTP, &u);

	if (bad != NULL)
		return bad;
	if (strpbrk(u.rest, "?#") != NULL)
		return "has a query or a fragment";
	if (!u.tls && !url_is_loopback(u.host))
		return "is http: only a loopback address may be, all else needs https";
	return NULL;
}

static bool
is_temperature(const char *text)
{
	uint64_t	 thousandths;

	return seconds_of(text, &thousandths) && thousandths <= 2000;
}

/* The options that are more than text of some length.  NULL when text will do. */
static const char *
bad_text(const char *name, const char *text)
{
	static const char *const	 compress[] = { "zlib", "zstd", "none", NULL };
	static const char *const	 paths[] = {
		"runtime_dir", "token_file", "api_key_file", "ca_file", "resolv_conf", NULL
	};
	static const char *const	 bots[] = { "none", "mentions", "all", NULL };
	static const char *const	 providers[] = {
		"auto",
#define PROVIDER(name, ...) #name,
#include "proto/providers.def"
#undef PROVIDER
		NULL
	};
	struct url			 u;
	struct address			 at;

	if (strcmp(name, "api_url") == 0 || strcmp(name, "base_url") == 0)
		return bad_api_url(text);
	if (strcmp(name, "user_agent_url") == 0 &&
	    (url_parse(text, URL_HTTP, &u) != NULL || strpbrk(text, ",;()") != NULL))
		return "is not a URL";
	if (strcmp(name, "compress") == 0 && !one_of(text, compress))
		return "is none of zlib, zstd, none";
	if (strcmp(name, "log_format") == 0 && log_format_of(text) == -1)
		return "must be auto, text, json or journal";
	if (strcmp(name, "log_level") == 0 && log_level_of(text) == -1)
		return "is none of debug, info, notice, warning, err";
	if (strcmp(name, "bots") == 0 && !one_of(text, bots))
		return "is none of none, mentions, all";
	if (strcmp(name, "provider") == 0 && !one_of(text, providers))
		return "is neither auto nor a row of providers.def";
	if (strcmp(name, "temperature") == 0 && !is_temperature(text))
		return "is not a number from 0 to 2, as 0.7";
	if (strcmp(name, "query") == 0 && strpbrk(text, " ?#") != NULL)
		return "is no query such as a=b&c=d";
	if ((strcmp(name, "web") == 0 || strcmp(name, "statsd") == 0) && !address_parse(text, &at))
		return "is not a numeric address and a port, as 127.0.0.1:9464 or [::1]:9464";
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

/* ---- names of other tables ---- */

static int
check_event(const char *where, const char *text, char *why)
{
	const char		*names[EVENTS_MAX];
	const struct event_row	*rows;
	char			 say[128], shown[64], upper[64];
	size_t			 n;

	if (table_event(span_of(text)) != NULL)
		return 0;
	rows = table_events(&n);
	assert(n <= EVENTS_MAX);
	for (size_t i = 0; i < n; i++)
		names[i] = rows[i].name;
	to_upper(text, upper, sizeof(upper));
	cfgrow_suggest(upper, names, n, say, sizeof(say));
	(void)snprintf(why, CFGROW_WHY_BYTES, "unknown event \"%s\"%s%s",
	    cfgrow_quoted(text, shown, sizeof(shown)), where, say);
	return -1;
}

static int
check_intent(const char *where, const char *text, char *why)
{
	const char		*names[INTENTS_MAX + 1];
	const struct intent_row	*rows;
	char			 say[128], shown[64], upper[64];
	size_t			 n;

	rows = table_intents(&n);
	assert(n <= INTENTS_MAX);
	for (size_t i = 0; i < n; i++)
		names[i] = rows[i].name;
	names[n++] = "auto";
	for (size_t i = 0; i < n; i++)
		if (strcmp(text, names[i]) == 0)
			return 0;
	to_upper(text, upper, sizeof(upper));
	cfgrow_suggest(upper, names, n, say, sizeof(say));
	(void)snprintf(why, CFGROW_WHY_BYTES, "unknown intent \"%s\"%s%s",
	    cfgrow_quoted(text, shown, sizeof(shown)), where, say);
	return -1;
}

/* The form of a command line; whether there is such a program only the configuration child asks. */
static int
check_command(const char *shown, const char *where, const char *command, char *why)
{
	struct words	 w;
	const char	*bad;
	int		 rv = 0;

	if (words_split(command, &w, &bad) == -1) {
		(void)snprintf(why, CFGROW_WHY_BYTES, "handler \"%s\"%s %s", shown, where, bad);
		return -1;
	}
	if (w.n == 0 || w.v[0][0] != '/' || w.v[0][strlen(w.v[0]) - 1] == '/') {
		(void)snprintf(why, CFGROW_WHY_BYTES, "handler \"%s\"%s: exec: wants the absolute"
		    " path of a program", shown, where);
		rv = -1;
	}
	words_fini(&w);
	return rv;
}

static int
check_handler(const char *where, const char *text, char *why)
{
	const struct role_row	*rows;
	char			 say[128] = "; built in:", shown[64];
	size_t			 n;

	(void)cfgrow_quoted(text, shown, sizeof(shown));
	if (cfgrow_handler(text) != NULL)
		return 0;
	if (cfgrow_command(text) != NULL)
		return check_command(shown, where, cfgrow_command(text), why);
	if (table_role(text) != NULL) {
		(void)snprintf(why, CFGROW_WHY_BYTES, "handler \"%s\"%s: its pool is made by the"
		    " supervisor itself", shown, where);
		return -1;
	}
	rows = table_roles(&n);
	for (size_t i = 0; i < n; i++)
		if (cfgrow_handler(rows[i].name) != NULL) {
			(void)strlcat(say, " ", sizeof(say));
			(void)strlcat(say, rows[i].name, sizeof(say));
		}
	(void)snprintf(why, CFGROW_WHY_BYTES, "unknown handler \"%s\"%s%s", shown, where, say);
	return -1;
}

/* Sentences name the variable, never its value. */
static int
check_env(const char *where, const char *text, char *why)
{
	struct span	 name = cfgrow_env_name(text);
	char		 shown[64];
	const char	*p;

	for (p = name.p; p < name.p + name.n; p++)
		if (*p != '_' && !(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') &&
		    (p == name.p || *p < '0' || *p > '9'))
			break;
	if (name.n == 0 || p < name.p + name.n || text[name.n] != '=' || name.n >= sizeof(shown)) {
		(void)snprintf(why, CFGROW_WHY_BYTES, "\"env\"%s holds a word that is not"
		    " NAME=value", where);
		return -1;
	}
	(void)span_copy(name, shown, sizeof(shown));
	for (p = text; (unsigned char)*p >= 0x20 || *p == '\n' || *p == '\t'; p++)
		continue;
	if (*p == '\0' && strlen(text) <= ENV_BYTES_MAX)
		return 0;
	(void)snprintf(why, CFGROW_WHY_BYTES, *p == '\0' ? "\"env\"%s: %s is too long" :
	    "\"env\"%s: %s has a control character", where, shown);
	return -1;
}

/* Of a request to a model.  What Bulkhead sets itself is no one else's, a key least of all. */
static int
check_header(const char *where, const char *text, char *why)
{
	static const char *const	 ours[] = {
		"accept", "accept-encoding", "api-key", "authorization", "connection",
		"content-length", "content-type", "cookie", "expect", "host", "te",
		"transfer-encoding", "upgrade", "user-agent", "x-api-key", NULL
	};
	size_t				 n = strspn(text, LOWER UPPER DIGITS "-_"), v;
	char				 shown[64];

	(void)span_copy(span_make(text, n), shown, sizeof(shown));
	for (size_t i = 0; ours[i] != NULL; i++)
		if (strcasecmp(shown, ours[i]) == 0) {
			(void)snprintf(why, CFGROW_WHY_BYTES, "\"headers\"%s: %s is not yours to"
			    " set; a key belongs into api_key", where, shown);
			return -1;
		}
	for (v = n; text[v] != '\0' && (unsigned char)text[v] >= 0x20 && text[v] != 0x7f; v++)
		continue;
	if (n > 0 && n < sizeof(shown) && text[n] == ':' && text[n + 1] == ' ' &&
	    text[n + 2] != '\0' && text[v] == '\0' && v <= HEADER_MAX)
		return 0;
	(void)snprintf(why, CFGROW_WHY_BYTES, "\"headers\"%s holds \"%s\", which is not"
	    " \"Name: value\" of at most %d bytes", where, cfgrow_quoted(text, shown, sizeof(shown)),
	    HEADER_MAX);
	return -1;
}

static int
check_word(const struct cfg_option *o, const char *where, const char *text, char *why)
{
	char		 shown[64];
	uint64_t	 id;

	if (strcmp(o->name, "events") == 0 || strcmp(o->name, "states") == 0)
		return check_event(where, text, why);
	if (strcmp(o->name, "intents") == 0)
		return check_intent(where, text, why);
	if (cfgrow_is_env(o))
		return check_env(where, text, why);
	if (strcmp(o->name, "headers") == 0)
		return check_header(where, text, why);
	if (strcmp(o->name, "free_channels") == 0 ? span_u64(span_of(text), &id) && id > 0 :
	    *text != '\0' && strlen(text) <= WORD_MAX)
		return 0;
	(void)snprintf(why, CFGROW_WHY_BYTES, "\"%s\"%s holds \"%s\", which is %s", o->name, where,
	    cfgrow_quoted(text, shown, sizeof(shown)), strcmp(o->name, "free_channels") == 0 ?
	    "not the id of a channel" : "empty or longer than 64 bytes");
	return -1;
}

/* ---- one value ---- */

int
cfgrow_check(const struct cfg_option *o, const char *where, const char *text, uint64_t *v_r,
    char *why)
{
	static const char *const	 forms[] = {
		[CFG_TYPE_MS] = "a number of seconds such as 20 or 0.5",
		[CFG_TYPE_INT] = "a whole number",
		[CFG_TYPE_BYTES] = "a number of bytes such as 65536, 64K or 1G",
		[CFG_TYPE_BOOL] = "true or false",
	};
	enum cfg_type			 type = o->kind;
	const char			*bad, *p;
	char				 shown[64], bound[32];
	size_t				 n = strlen(text);

	switch (type) {
	case CFG_TYPE_STR:
	case CFG_TYPE_SECRET:
		if (n == 0 && o->min > 0) {
			(void)snprintf(why, CFGROW_WHY_BYTES, "\"%s\"%s is empty", o->name, where);
			return -1;
		}
		if (n < o->min || n > o->max) {
			(void)snprintf(why, CFGROW_WHY_BYTES,
			    "\"%s\"%s has %zu bytes, at %s %" PRIu64, o->name, where, n,
			    n < o->min ? "least" : "most", n < o->min ? o->min : o->max);
			return -1;
		}
		if (strcmp(o->name, "token") == 0 && strncasecmp(text, "Bot ", 4) == 0) {
			(void)snprintf(why, CFGROW_WHY_BYTES, "\"%s\"%s begins with \"%.3s\": the token is"
			    " what stands behind it", o->name, where, text);
			return -1;
		}
		for (p = text; *p != '\0'; p++)
			if ((((unsigned char)*p < 0x20 || *p == 0x7f) &&
			    !(*p == '\n' && strcmp(o->name, "system_prompt") == 0)) ||
			    (type == CFG_TYPE_SECRET && (*p == ' ' || (unsigned char)*p > 0x7f))) {
				(void)snprintf(why, CFGROW_WHY_BYTES, "\"%s\"%s has a %s", o->name,
				    where, type == CFG_TYPE_STR ? "control character" :
				    "space, a control character or a letter outside ASCII");
				return -1;
			}
		if (strcmp(o->name, "handler") == 0)
			return check_handler(where, text, why);
		bad = type == CFG_TYPE_SECRET ? NULL : bad_text(o->name, text);
		if (bad != NULL) {
			(void)snprintf(why, CFGROW_WHY_BYTES, "\"%s\"%s %s: \"%s\"", o->name, where,
			    bad, cfgrow_quoted(text, shown, sizeof(shown)));
			return -1;
		}
		return 0;
	case CFG_TYPE_LIST:
		return check_word(o, where, text, why);
	case CFG_TYPE_MS:
	case CFG_TYPE_INT:
	case CFG_TYPE_BYTES:
	case CFG_TYPE_BOOL:
		break;
	}
	if (!cfgrow_number(type, text, v_r)) {
		(void)snprintf(why, CFGROW_WHY_BYTES, "\"%s\"%s is \"%s\", not %s", o->name, where,
		    cfgrow_quoted(text, shown, sizeof(shown)), forms[type]);
		return -1;
	}
	if (*v_r < o->min || *v_r > o->max) {
		(void)snprintf(why, CFGROW_WHY_BYTES, "\"%s\"%s is %s, at %s %s", o->name, where,
		    cfgrow_quoted(text, shown, sizeof(shown)), *v_r < o->min ? "least" : "most",
		    cfgrow_number_text(type, *v_r < o->min ? o->min : o->max, bound,
		    sizeof(bound)));
		return -1;
	}
	return 0;
}

const char *
cfgrow_bad_title(enum cfg_scope scope, struct span name)
{
	size_t	 i;

	if (name.n == 0 || name.n > 32)
		return "has 1 to 32 characters";
	for (i = 0; i < name.n; i++)
		if (strchr(LOWER DIGITS "_-", name.p[i]) == NULL || name.p[i] == '\0')
			return "is made of a-z, 0-9, _ and -";
	if (scope == CFG_SCOPE_POOL && (span_is(name, "rest") || span_is(name, "web") || span_is(name, "supervisor") ||
	    span_is(name, "discord") || span_is(name, "gateway")))	/* services */
		return "is not one that the supervisor uses itself";
	return NULL;
}
