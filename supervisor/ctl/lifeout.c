/*
 * lifeout - see lifeout.h.
 */
#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "supervisor/ctl/doc.h"
#include "supervisor/ctl/lifeout.h"
#include "supervisor/ctl/table.h"

/* ---- reload ---- */

static void
print_change(FILE *f, const json_t *c)
{
	const char	*title = get_str(c, "title"), *name = get_str(c, "name");
	bool		 titled = has_str(c, "title");

	if (!has_str(c, "name")) {
		fprintf(f, "  %s \"%s\" %s\n", get_str(c, "scope"), title,
		    strcmp(get_str(c, "change"), "added") == 0 ? "is new" : "is gone");
		return;
	}
	fprintf(f, "  %s%s%s%s%s: %s -> %s   %s\n", titled ? get_str(c, "scope") : "",
	    titled ? " \"" : "", titled ? title : "", titled ? "\" " : "", name,
	    get_str(c, "from"), get_str(c, "to"), get_str(c, "fate"));
}

static void
print_job(FILE *f, const json_t *j)
{
	fprintf(f, "  pool %s: ", get_str(j, "pool"));
	if (!get_bool(j, "ok"))
		fprintf(f, "%s\n", has_str(j, "why") ? get_str(j, "why") : "failed");
	else if (json_is_integer(json_object_get(j, "to")))
		fprintf(f, "scaled from %" PRIu64 " to %" PRIu64 " worker%s\n", get_u64(j, "from"),
		    get_u64(j, "to"), get_u64(j, "to") == 1 ? "" : "s");
	else
		fprintf(f, "%s\n", get_str(j, "what"));
}

void
lifeout_reload(FILE *f, const json_t *doc)
{
	const json_t	*row;
	char		 ms[24];
	size_t		 i;

	if (strcmp(get_str(doc, "result"), "refused") == 0) {
		fputs("nothing was changed\n", f);	/* the reasons follow on stderr */
		return;
	}
	fprintf(f, "%s (%s)\n", get_str(doc, "why"),
	    clock_human_ms(get_u64(doc, "took_ms"), ms, sizeof(ms)));
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

	if (has_str(doc, "failed")) {
		fprintf(f, "still %s; the gateway was away for %s\n", get_str(doc, "to"),
		    clock_human_ms(get_u64(doc, "gap_ms"), ms, sizeof(ms)));
		return;
	}
	fprintf(f, "upgraded %s -> %s, gateway gap %" PRIu64 " ms, %" PRIu64 " event%s replayed%s\n",
	    get_str(doc, "from"), get_str(doc, "to"), get_u64(doc, "gap_ms"),
	    get_u64(doc, "replayed"), get_u64(doc, "replayed") == 1 ? "" : "s",
	    get_bool(doc, "resumed") ? "" : ", with a new session");
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
	    get_u64(doc, "held"), get_u64(doc, "finished"), get_u64(doc, "handed_back"),
	    get_u64(doc, "taken_back"), get_u64(doc, "streams_cut"),
	    get_u64(doc, "streams_cut") == 1 ? "" : "s");
	json_array_foreach(json_object_get(doc, "left"), i, row)
		fprintf(f, "  the next start goes on with %s %s in channel %s (pool %s)\n",
		    get_str(row, "event"), has_str(row, "object") ? get_str(row, "object") : "",
		    get_str(row, "key"), get_str(row, "pool"));
	if (get_u64(doc, "left_n") > i)
		fprintf(f, "  and with %" PRIu64 " more\n", get_u64(doc, "left_n") - i);
	json_array_foreach(json_object_get(doc, "killed"), i, row) {
		fputs("  killed: ", f);
		print_clean(f, json_string_value(row), "");
		fputc('\n', f);
	}
	print_ms(f, "handlers", get_u64(doc, "handlers_ms"));
	print_ms(f, "rest", get_u64(doc, "rest_ms"));
	print_ms(f, "gateway", get_u64(doc, "gateway_ms"));
	print_ms(f, "in all", get_u64(doc, "total_ms"));
	fputc('\n', f);
}

/* ---- status ---- */

void
lifeout_status(FILE *f, const json_t *doc)
{
	const json_t	*c = json_object_get(doc, "config"), *u = json_object_get(doc, "upgrade");

	if (has_str(c, "differs_since"))
		fprintf(f, "%-9sthe file differs from what runs since %s: %s\n", "config",
		    get_str(c, "differs_since"), get_str(c, "reload_why"));
	else if (get_bool(c, "reloading"))
		fprintf(f, "%-9sreloading\n", "config");
	if (json_is_object(u)) {
		fprintf(f, "%-9s", "upgrade");
		if (get_bool(u, "done"))
			lifeout_upgrade(f, u);
		else
			fputs("under way\n", f);
	}
}
