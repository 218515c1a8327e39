/*
 * cfgscan - see cfgscan.h.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cfgscan.h"

#define DIGITS		"0123456789"
#define LETTERS		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* ---- complaints ---- */

void
cfgscan_say(struct cfgscan *c, unsigned line, const char *fmt, ...)
{
	struct cfgscan_error	*e;
	va_list			 ap;
	char			 sentence[CFGROW_WHY_BYTES];

	if (c->errors_n == CFGSCAN_ERRORS_MAX) {
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

/* ---- tokens ---- */

enum lex {
	LEX_END, LEX_BAD, LEX_WORD, LEX_QUOTED, LEX_EQ, LEX_ADD, LEX_OPEN, LEX_CLOSE, LEX_COMMA
};

struct token {
	enum lex	 lex;
	struct span	 text;		/* of words; without quotes, escapes as they stand */
	unsigned	 line;
};

static enum lex
lex_fail(struct cfgscan *c, unsigned line, const char *why)
{
	cfgscan_say(c, line, "%s", why);
	c->fatal = true;
	return LEX_BAD;
}

/* ${NAME} or ${NAME:-text} at c->off, closed before end; an unset variable is an error. */
static enum lex
lex_variable(struct cfgscan *c, size_t end)
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
		cfgscan_say(c, c->line, "the environment has no variable \"%s\"", name);
		c->env_missing = true;
	}
	c->env = mem_grow(c->env, c->env_n + 1, sizeof(*c->env));
	c->env[c->env_n++] = name;
	c->off += 2 + i + 1;
	return LEX_QUOTED;
}

/* A quoted string from c->off on.  Escapes that libConfuse turns into odd bytes are refused. */
static enum lex
lex_quoted(struct cfgscan *c, struct token *t)
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
lex_comment(struct cfgscan *c)
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
lex_next(struct cfgscan *c)
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

/* ---- statements ---- */

const char *
cfgscan_where(const struct cfgscan *c, size_t pool, char *dst, size_t dst_bytes)
{
	char	 name[64];

	*dst = '\0';
	if (pool != SIZE_MAX) {
		(void)span_copy(c->pools[pool].name, name, sizeof(name));
		(void)snprintf(dst, dst_bytes, " in pool \"%s\"", name);
	}
	return dst;
}

struct cfgscan_set *
cfgscan_find(const struct cfgscan *c, const struct cfg_option *row, size_t pool)
{
	size_t	 i;

	for (i = 0; i < c->sets_n; i++)
		if (c->sets[i].row == row && c->sets[i].pool == pool)
			return &c->sets[i];
	return NULL;
}

static void
unknown_key(struct cfgscan *c, struct token key, bool section, size_t pool)
{
	const struct cfg_option	*o;
	const char		**names;
	char			 word[64], shown[64], where[96], say[128];
	size_t			 rows_n, n = 0;

	(void)span_copy(key.text, word, sizeof(word));
	(void)cfg_options(&rows_n);
	names = mem_array(rows_n + 1, sizeof(*names));
	for (o = NULL; (o = cfgrow_next(o, pool != SIZE_MAX)) != NULL;)
		names[n++] = o->name;
	if (pool == SIZE_MAX)
		names[n++] = "pool";
	cfgrow_suggest(word, names, n, say, sizeof(say));
	free(names);
	cfgscan_say(c, key.line, "unknown %s \"%s\"%s%s", section ? "section" : "option",
	    cfgrow_quoted(word, shown, sizeof(shown)), cfgscan_where(c, pool, where, sizeof(where)),
	    say);
}

/* Behind = or +=. */
static int
scan_values(struct cfgscan *c, bool *list_r)
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
scan_setting(struct cfgscan *c, struct token key, bool add, size_t pool)
{
	struct cfgscan_set	*before;
	char			 where[96];
	const struct cfg_option	*row = cfgrow_find(key.text, pool != SIZE_MAX);
	bool			 list;

	if (scan_values(c, &list) == -1)
		return -1;
	if (row == NULL) {
		if (cfgrow_find(key.text, pool == SIZE_MAX) == NULL)
			unknown_key(c, key, false, pool);
		else
			cfgscan_say(c, key.line, pool == SIZE_MAX ?
			    "\"%.*s\" belongs inside pool \"name\" { }" :
			    "\"%.*s\" belongs outside of the pools", (int)key.text.n, key.text.p);
		return 1;
	}
	(void)cfgscan_where(c, pool, where, sizeof(where));
	if (row->kind != CFG_TYPE_LIST && (list || add)) {
		cfgscan_say(c, key.line, "\"%s\"%s takes one value, not a list",
		    row->name, where);
		return 1;
	}
	before = cfgscan_find(c, row, pool);
	if (before != NULL) {
		if (!add) {
			cfgscan_say(c, key.line, "\"%s\"%s is set twice, first in line %u",
			    row->name, where, before->line);
			before->line = key.line;	/* libConfuse gives the last value */
		}
		return 0;
	}
	c->sets = mem_grow(c->sets, c->sets_n + 1, sizeof(*c->sets));
	c->sets[c->sets_n++] = (struct cfgscan_set){ row, pool, key.line };
	return 0;
}

static int
scan_unknown_body(struct cfgscan *c)
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
scan_pool_head(struct cfgscan *c, struct token key, struct token title)
{
	const char	*bad;
	char		 name[64], shown[64];
	size_t		 i;
	bool		 ok = true;

	if (title.lex != LEX_QUOTED && title.lex != LEX_WORD) {
		cfgscan_say(c, key.line, "a pool without a name");
		return false;
	}
	bad = cfgrow_bad_pool_name(title.text);
	(void)span_copy(title.text, name, sizeof(name));
	if (bad != NULL)
		cfgscan_say(c, title.line, "pool name \"%s\": a name %s",
		    cfgrow_quoted(name, shown, sizeof(shown)), bad);
	for (i = 0; i < c->pools_n; i++)
		if (span_eq(c->pools[i].name, title.text)) {
			cfgscan_say(c, title.line, "pool \"%s\" stands twice, first in line %u",
			    cfgrow_quoted(name, shown, sizeof(shown)), c->pools[i].line);
			ok = false;
			break;
		}
	c->pools = mem_grow(c->pools, c->pools_n + 1, sizeof(*c->pools));
	c->pools[c->pools_n++] = (struct cfgscan_pool){ title.text, title.line };
	return ok;
}

/* Statements up to the end of the file, or of the pool.  False: libConfuse need not be asked. */
static bool
scan_block(struct cfgscan *c, size_t pool, unsigned open_line)
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
				cfgscan_say(c, key.line, "\"=\" is missing after \"%.*s\"",
				    (int)(key.text.n > 64 ? 64 : key.text.n), key.text.p);
			c->fatal = true;
			return false;
		}
		if (!span_is(key.text, "pool") || pool != SIZE_MAX) {
			if (span_is(key.text, "pool"))
				cfgscan_say(c, key.line, "a pool inside a pool");
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

bool
cfgscan_run(struct cfgscan *c)
{
	c->line = 1;
	return scan_block(c, SIZE_MAX, 0);
}

void
cfgscan_fini(struct cfgscan *c)
{
	size_t	 i;

	for (i = 0; i < c->errors_n; i++)
		free(c->errors[i].text);
	for (i = 0; i < c->env_n; i++)
		free(c->env[i]);
	free(c->env);
	free(c->sets);
	free(c->pools);
	if (c->text != NULL)
		explicit_bzero(c->text, c->text_n);
	free(c->text);
	memset(c, 0, sizeof(*c));
}
