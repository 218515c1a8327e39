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

static enum cfg_scope
scope_in(const struct cfgscan *c, size_t section)
{
	return section == SIZE_MAX ? CFG_SCOPE_GLOBAL : c->sections[section].scope;
}

const char *
cfgscan_where(const struct cfgscan *c, size_t section, char *dst, size_t dst_bytes)
{
	return cfgrow_where(scope_in(c, section),
	    section == SIZE_MAX ? SPAN_NONE : c->sections[section].title, dst, dst_bytes);
}

struct cfgscan_set *
cfgscan_find(const struct cfgscan *c, const struct cfg_option *row, size_t section)
{
	size_t	 i;

	for (i = 0; i < c->sets_n; i++)
		if (c->sets[i].row == row && c->sets[i].section == section)
			return &c->sets[i];
	return NULL;
}

size_t
cfgscan_count(const struct cfgscan *c, enum cfg_scope scope)
{
	size_t	 i, n = 0;

	for (i = 0; i < c->sections_n; i++)
		n += c->sections[i].scope == scope;
	return n;
}

static void
unknown_key(struct cfgscan *c, struct token key, bool is_section, size_t section)
{
	const struct cfg_option	*o;
	const char		**names;
	char			 word[64], shown[64], where[96], say[128];
	size_t			 rows_n, n = 0;
	int			 scope;

	(void)span_copy(key.text, word, sizeof(word));
	(void)cfg_options(&rows_n);
	names = mem_array(rows_n + CFG_SCOPE__N, sizeof(*names));
	for (o = NULL; (o = cfgrow_next(o, scope_in(c, section))) != NULL;)
		names[n++] = o->name;
	for (scope = CFG_SCOPE_POOL; section == SIZE_MAX && scope < CFG_SCOPE__N; scope++)
		names[n++] = cfgrow_scope_name((enum cfg_scope)scope);
	cfgrow_suggest(word, names, n, say, sizeof(say));
	free(names);
	cfgscan_say(c, key.line, "unknown %s \"%s\"%s%s", is_section ? "section" : "option",
	    cfgrow_quoted(word, shown, sizeof(shown)),
	    cfgscan_where(c, section, where, sizeof(where)), say);
}

/* An option that stands in the wrong place; false: no place is the right one. */
static bool
misplaced_key(struct cfgscan *c, struct token key)
{
	int	 s;

	for (s = CFG_SCOPE_GLOBAL; s < CFG_SCOPE__N; s++) {
		if (cfgrow_find(key.text, (enum cfg_scope)s) == NULL)
			continue;
		if (s == CFG_SCOPE_GLOBAL)
			cfgscan_say(c, key.line, "\"%.*s\" belongs outside of the sections",
			    (int)key.text.n, key.text.p);
		else
			cfgscan_say(c, key.line, "\"%.*s\" belongs inside %s%s { }",
			    (int)key.text.n, key.text.p, cfgrow_scope_name((enum cfg_scope)s),
			    cfgrow_scope_titled((enum cfg_scope)s) ? " \"name\"" : "");
		return true;
	}
	return false;
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
scan_setting(struct cfgscan *c, struct token key, bool add, size_t section)
{
	struct cfgscan_set	*before;
	char			 where[96];
	const struct cfg_option	*row = cfgrow_find(key.text, scope_in(c, section));
	bool			 list;

	if (scan_values(c, &list) == -1)
		return -1;
	if (row == NULL) {
		if (!misplaced_key(c, key))
			unknown_key(c, key, false, section);
		return 1;
	}
	(void)cfgscan_where(c, section, where, sizeof(where));
	if (row->kind != CFG_TYPE_LIST && (list || add)) {
		cfgscan_say(c, key.line, "\"%s\"%s takes one value, not a list",
		    row->name, where);
		return 1;
	}
	before = cfgscan_find(c, row, section);
	if (before != NULL) {
		if (!add) {
			cfgscan_say(c, key.line, "\"%s\"%s is set twice, first in line %u",
			    row->name, where, before->line);
			before->line = key.line;	/* libConfuse gives the last value */
		}
		return 0;
	}
	c->sets = mem_grow(c->sets, c->sets_n + 1, sizeof(*c->sets));
	c->sets[c->sets_n++] = (struct cfgscan_set){ row, section, key.line };
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

/* A section's name has been read, and its title if it has one; true when libConfuse may see it. */
static bool
scan_head(struct cfgscan *c, enum cfg_scope scope, struct token key, struct token title)
{
	const char	*bad, *kind = cfgrow_scope_name(scope);
	char		 name[64], shown[64];
	size_t		 i;
	bool		 ok = true, has = title.lex == LEX_QUOTED || title.lex == LEX_WORD;

	if (has != cfgrow_scope_titled(scope)) {
		cfgscan_say(c, key.line, has ? "%s has no name" : "a %s without a name", kind);
		return false;
	}
	if (!has)
		title.text = SPAN_NONE;
	bad = has ? cfgrow_bad_title(scope, title.text) : NULL;
	(void)span_copy(title.text, name, sizeof(name));
	if (bad != NULL)
		cfgscan_say(c, title.line, "%s name \"%s\": a name %s", kind,
		    cfgrow_quoted(name, shown, sizeof(shown)), bad);
	for (i = 0; i < c->sections_n; i++)
		if (c->sections[i].scope == scope && span_eq(c->sections[i].title, title.text)) {
			cfgscan_say(c, key.line, has ? "%s \"%s\" stands twice, first in line %u" :
			    "%s%s stands twice, first in line %u", kind,
			    has ? cfgrow_quoted(name, shown, sizeof(shown)) : "",
			    c->sections[i].line);
			ok = false;
			break;
		}
	c->sections = mem_grow(c->sections, c->sections_n + 1, sizeof(*c->sections));
	c->sections[c->sections_n++] = (struct cfgscan_section){ scope, title.text, key.line };
	return ok;
}

static bool	 scan_block(struct cfgscan *, size_t section, unsigned open_line);

/* A section whose "{" has been read.  False: libConfuse need not be asked. */
static bool
scan_section(struct cfgscan *c, struct token key, struct token title, size_t outer)
{
	enum cfg_scope	 scope;
	size_t		 n = c->sections_n;
	bool		 clean;

	if (!cfgrow_scope_of(key.text, &scope) || outer != SIZE_MAX) {
		if (outer != SIZE_MAX && cfgrow_scope_of(key.text, &scope))
			cfgscan_say(c, key.line, "a %s inside a %s", cfgrow_scope_name(scope),
			    cfgrow_scope_name(scope_in(c, outer)));
		else
			unknown_key(c, key, true, outer);
		c->fatal = scan_unknown_body(c) == -1;
		return false;
	}
	clean = scan_head(c, scope, key, title);
	if (c->sections_n == n) {
		c->fatal = scan_unknown_body(c) == -1;
		return false;
	}
	return scan_block(c, n, key.line) && clean;
}

/* Statements up to the end of the file, or of the section.  False: libConfuse need not be asked. */
static bool
scan_block(struct cfgscan *c, size_t section, unsigned open_line)
{
	struct token	 key, t, title;
	bool		 clean = true;
	int		 rv;

	for (;;) {
		key = lex_next(c);
		if (key.lex == LEX_BAD)
			return false;
		if (key.lex == LEX_END && section == SIZE_MAX)
			return clean;
		if (key.lex == LEX_CLOSE && section != SIZE_MAX)
			return clean;
		if (key.lex == LEX_END) {
			cfgscan_say(c, open_line, "the %s that begins here is not closed with"
			    " \"}\"", cfgrow_scope_name(scope_in(c, section)));
			c->fatal = true;
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
			rv = scan_setting(c, key, t.lex == LEX_ADD, section);
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
		if (!scan_section(c, key, title, section))
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
	free(c->sections);
	if (c->text != NULL)
		explicit_bzero(c->text, c->text_n);
	free(c->text);
	memset(c, 0, sizeof(*c));
}
