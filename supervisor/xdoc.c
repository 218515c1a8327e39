/*
 * xdoc - see xdoc.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cfg.h"
#include "common/mem.h"
#include "common/msg.h"
#include "proto/contract.h"
#include "supervisor/xdoc.h"

/* A table's head; every row ends with row_end. */
static void
head(struct buf *out, const char *title, const char *columns)
{
	const char	*p;

	buf_printf(out, "# %s\n\n| %s |\n|", title, columns);
	for (p = columns; p != NULL; p = strchr(p + 1, '|'))
		buf_printf(out, "---|");
	buf_printf(out, "\n");
}

/* One cell: a bar would end it. */
static void
cell(struct buf *out, const char *text)
{
	buf_printf(out, "| ");
	for (; *text != '\0'; text++) {
		if (*text == '|')
			buf_add(out, "\\", 1);
		buf_add(out, text, 1);
	}
	buf_printf(out, " ");
}

static void
code_cell(struct buf *out, const char *text)
{
	if (*text == '\0') {
		cell(out, "");
		return;
	}
	buf_printf(out, "| `%s` ", text);
}

static void
number_cell(struct buf *out, uint64_t v)
{
	buf_printf(out, "| %" PRIu64 " ", v);
}

static void
row_end(struct buf *out)
{
	buf_printf(out, "|\n");
}

static void
seconds(struct buf *out, uint64_t ms)
{
	if (ms % 1000 == 0)
		buf_printf(out, "%" PRIu64, ms / 1000);
	else
		buf_printf(out, "%g", (double)ms / 1000);
}

static void
range_cell(struct buf *out, const struct cfg_option *o)
{
	buf_printf(out, "| ");
	if (strcmp(o->type, "seconds") == 0) {
		seconds(out, o->min);
		buf_printf(out, " to ");
		seconds(out, o->max);
		buf_printf(out, " ");
	} else if (strcmp(o->type, "list") == 0)
		buf_printf(out, "at most %" PRIu64 " words ", o->max);
	else if (strcmp(o->type, "text") == 0 || strcmp(o->type, "secret") == 0)
		buf_printf(out, "%" PRIu64 " to %" PRIu64 " bytes ", o->min, o->max);
	else if (o->max > 1)
		buf_printf(out, "%" PRIu64 " to %" PRIu64 " ", o->min, o->max);
}

static void
document_options(struct buf *out)
{
	static const char *const	 where[CFG_SCOPE__N] = {
		"outside", "a pool", "a model", "chat"
	};
	const struct cfg_option		*o;
	size_t				 n, i;

	o = cfg_options(&n);
	head(out, "Options", "option | where | kind | default | range | change | meaning");
	for (i = 0; i < n; i++) {
		code_cell(out, o[i].name);
		cell(out, where[o[i].in]);
		cell(out, o[i].type);
		code_cell(out, o[i].def == NULL ? "" : o[i].def);
		range_cell(out, &o[i]);
		cell(out, o[i].reload);
		cell(out, o[i].help);
		row_end(out);
	}
}

static void
document_counters(struct buf *out)
{
	head(out, "Counters", "counter | unit | meaning");
#define COUNTER(name, unit, help)						\
	code_cell(out, #name);							\
	cell(out, unit);							\
	cell(out, help);							\
	row_end(out);
#include "proto/counters.def"
#undef COUNTER
}

static void
document_histograms(struct buf *out)
{
	head(out, "Histograms", "histogram | of | meaning");
#define WHOLE	"the bot"
#define POOL	"each pool"
#define HISTOGRAM(name, of, help)						\
	code_cell(out, #name);							\
	cell(out, of);								\
	cell(out, help);							\
	row_end(out);
#include "proto/histograms.def"
#undef HISTOGRAM
#undef POOL
#undef WHOLE
}

static void
document_commands(struct buf *out)
{
	head(out, "Commands of bulkheadctl", "command | arguments | may | what it does");
#define READ	"everyone on the socket"
#define CHANGE	"root and the supervisor's user"
#define CMD(name, arguments, min, max, who, help)				\
	code_cell(out, #name);							\
	cell(out, arguments);							\
	cell(out, who);								\
	cell(out, help);							\
	row_end(out);
#include "proto/ctlcmds.def"
#undef CMD
#undef READ
#undef CHANGE
}

static void
document_errors(struct buf *out)
{
	head(out, "Errors of RESULT", "name | number | meaning");
#define ERR(name, number, text)							\
	code_cell(out, #name);							\
	number_cell(out, number);						\
	cell(out, text);							\
	row_end(out);
#include "proto/errors.def"
#undef ERR
}

static void
document_events(struct buf *out)
{
	head(out, "Events that a pool may want",
	    "event | intents | key | identity | order | at the bound");
#define EVENT(name, intents, key, identity, order, shed)			\
	code_cell(out, #name);							\
	cell(out, strcmp(#intents, "0") == 0 ? "none" : #intents);		\
	cell(out, #key);							\
	cell(out, #identity);							\
	cell(out, #order);							\
	cell(out, #shed);							\
	row_end(out);
#include "proto/events.def"
#undef EVENT
}

static void
document_faults(struct buf *out)
{
	head(out, "Fault points", "name | what happens");
#define FAULT_POINT(id, name, help)						\
	code_cell(out, name);							\
	cell(out, help);							\
	row_end(out);
#include "proto/faults.def"
#undef FAULT_POINT
}

/* What the line says each time: its variable parts are three dots. */
static void
line_cell(struct buf *out, const char *line)
{
	struct buf	 text = { 0 };

	for (; *line != '\0'; line++) {
		if (*line != '%') {
			buf_add(&text, line, 1);
			continue;
		}
		line += strspn(line + 1, "l") + 1;	/* %s or %llu */
		if (line[1] != '%')
			buf_add(&text, "...", 3);
	}
	buf_add(&text, "", 1);
	cell(out, buf_span(&text).p);
	buf_fini(&text);
}

static void
document_reasons(struct buf *out)
{
	head(out, "Reasons of a health that is not ok", "line | meaning | what to do");
#define REASON(id, line, means, act)						\
	line_cell(out, line);							\
	cell(out, means);							\
	cell(out, act);								\
	row_end(out);
#include "proto/reasons.def"
#undef REASON
}

static void
document_moments(struct buf *out)
{
	head(out, "Events of bulkheadctl monitor", "event | meaning");
#define MOMENT(id, name, help)							\
	code_cell(out, name);							\
	cell(out, help);							\
	row_end(out);
#include "proto/moments.def"
#undef MOMENT
}

static void
document_lanes(struct buf *out)
{
	head(out, "Lanes of a CALL", "lane | number | what goes there");
#define LANE(name, number, help)						\
	code_cell(out, #name);							\
	number_cell(out, number);						\
	cell(out, help);							\
	row_end(out);
#include "proto/lanes.def"
#undef LANE
}

static const struct {
	const char	*what;
	void		(*document)(struct buf *);
} tables[] = {
	{ "proto", msg_document },
	{ "options", document_options },
	{ "counters", document_counters },
	{ "histograms", document_histograms },
	{ "commands", document_commands },
	{ "errors", document_errors },
	{ "events", document_events },
	{ "faults", document_faults },
	{ "lanes", document_lanes },
	{ "moments", document_moments },
	{ "reasons", document_reasons },
};

int
xdoc_main(const char *what)
{
	struct buf	 out = { 0 };
	struct span	 s;
	size_t		 i;

	for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (strcmp(what, tables[i].what) == 0)
			break;
	if (i == sizeof(tables) / sizeof(tables[0])) {
		fprintf(stderr, "-x %s: there are config", what);
		for (i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
			fprintf(stderr, ", %s", tables[i].what);
		fprintf(stderr, "\n");
		return BULKHEADD_EXIT_USAGE;
	}
	tables[i].document(&out);
	s = buf_span(&out);
	i = fwrite(s.p, 1, s.n, stdout);
	buf_fini(&out);
	return i == s.n && fflush(stdout) == 0 ? BULKHEADD_EXIT_OK : BULKHEADD_EXIT_FAIL;
}
