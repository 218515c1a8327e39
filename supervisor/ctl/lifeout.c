/*
 * lifeout - see lifeout.h.
 */
#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "supervisor/ctl/lifeout.h"

/* NULL when it is none. */
static const char *
text(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static uint64_t
number(const json_t *o, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(o, key));
}

/* ---- reload ---- */

static void
print_change(FILE *f, const json_t *c)
{
	const char	*title = text(c, "title"), *name = text(c, "name");

	if (name == NULL) {
		fprintf(f, "  %s \"%s\" %s\n", text(c, "scope"), title,
		    strcmp(text(c, "change"), "added") == 0 ? "is new" : "is gone");
		return;
	}
	fprintf(f, "  %s%s%s%s%s: %s -> %s   %s\n", title == NULL ? "" : text(c, "scope"),
	    title == NULL ? "" : " \"", title == NULL ? "" : title, title == NULL ? "" : "\" ", name,
	    text(c, "from"), text(c, "to"), text(c, "fate"));
}

static void
print_job(FILE *f, const json_t *j)
{
	fprintf(f, "  pool %s: ", text(j, "pool"));
	if (!json_is_true(json_object_get(j, "ok")))
		fprintf(f, "%s\n", text(j, "why") == NULL ? "failed" : text(j, "why"));
	else if (json_is_integer(json_object_get(j, "to")))
		fprintf(f, "scaled from %" PRIu64 " to %" PRIu64 " worker%s\n", number(j, "from"),
		    number(j, "to"), number(j, "to") == 1 ? "" : "s");
	else
		fprintf(f, "%s\n", text(j, "what"));
}

void
lifeout_reload(FILE *f, const json_t *doc)
{
	const json_t	*row;
	char		 ms[24];
	size_t		 i;

	if (strcmp(text(doc, "result"), "refused") == 0) {
		fputs("nothing was changed\n", f);	/* the reasons follow on stderr */
		return;
	}
	fprintf(f, "%s (%s)\n", text(doc, "why"),
	    clock_human_ms(number(doc, "took_ms"), ms, sizeof(ms)));
	json_array_foreach(json_object_get(doc, "changes"), i, row)
		print_change(f, row);
	json_array_foreach(json_object_get(doc, "pools"), i, row)
		print_job(f, row);
}

/* ---- upgrade ---- */

void
lifeout_upgrade(FILE *f, const json_t *doc)
{
	char	 ms[24];

	if (text(doc, "failed") != NULL) {
		fprintf(f, "still %s; the gateway was away for %s\n", text(doc, "to"),
		    clock_human_ms(number(doc, "gap_ms"), ms, sizeof(ms)));
		return;
	}
	fprintf(f, "upgraded %s -> %s, gateway gap %" PRIu64 " ms, %" PRIu64 " event%s replayed%s\n",
	    text(doc, "from"), text(doc, "to"), number(doc, "gap_ms"), number(doc, "replayed"),
	    number(doc, "replayed") == 1 ? "" : "s",
	    json_is_true(json_object_get(doc, "resumed")) ? "" : ", with a new session");
}

/* ---- stop ---- */

static void
print_ms(FILE *f, const char *what, uint64_t ms)
{
	char	 human[24];

	fprintf(f, "  %s %s", what, clock_human_ms(ms, human, sizeof(human)));
}

void
lifeout_stop(FILE *f, const json_t *doc)
{
	const json_t	*row;
	size_t		 i;

	fputs("stopped\n", f);
	fprintf(f, "  of %" PRIu64 " deliveries in work: %" PRIu64 " finished, %" PRIu64
	    " handed back, %" PRIu64 " taken back; %" PRIu64 " answer%s cut short\n",
	    number(doc, "held"), number(doc, "finished"), number(doc, "handed_back"),
	    number(doc, "taken_back"), number(doc, "streams_cut"),
	    number(doc, "streams_cut") == 1 ? "" : "s");
	json_array_foreach(json_object_get(doc, "left"), i, row)
		fprintf(f, "  the next start goes on with %s %s in channel %s (pool %s)\n",
		    text(row, "event"), text(row, "object") == NULL ? "" : text(row, "object"),
		    text(row, "key") == NULL ? "-" : text(row, "key"), text(row, "pool"));
	if (number(doc, "left_n") > i)
		fprintf(f, "  and with %" PRIu64 " more\n", number(doc, "left_n") - i);
	json_array_foreach(json_object_get(doc, "killed"), i, row)
		fprintf(f, "  killed: %s\n", json_string_value(row));
	print_ms(f, "handlers", number(doc, "handlers_ms"));
	print_ms(f, "rest", number(doc, "rest_ms"));
	print_ms(f, "gateway", number(doc, "gateway_ms"));
	print_ms(f, "in all", number(doc, "total_ms"));
	fputc('\n', f);
}

/* ---- status ---- */

void
lifeout_status(FILE *f, const json_t *doc)
{
	const json_t	*c = json_object_get(doc, "config"), *u = json_object_get(doc, "upgrade");

	if (text(c, "differs_since") != NULL)
		fprintf(f, "%-9sthe file differs from what runs since %s: %s\n", "config",
		    text(c, "differs_since"), text(c, "reload_why"));
	else if (json_is_true(json_object_get(c, "reloading")))
		fprintf(f, "%-9sreloading\n", "config");
	if (json_is_object(u)) {
		fprintf(f, "%-9s", "upgrade");
		if (json_is_true(json_object_get(u, "done")))
			lifeout_upgrade(f, u);
		else
			fputs("under way\n", f);
	}
}
