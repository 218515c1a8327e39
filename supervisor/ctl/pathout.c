/*
 * pathout - see pathout.h.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "supervisor/ctl/doc.h"
#include "supervisor/ctl/pathout.h"
#include "supervisor/ctl/table.h"

/* ---- explain: the stamps in the order of time ---- */

/* The clock time of an ISO stamp; the day stands once above. */
static const char *
time_of(const char *iso)
{
	const char	*t = strchr(iso, 'T');

	return t == NULL ? iso : t + 1;
}

static void
print_effect(FILE *f, const json_t *e)
{
	fprintf(f, "  %-14s%" PRIu64 ". ", time_of(get_str(e, "asked")), get_u64(e, "ordinal"));
	print_clean(f, get_str(e, "route"), "");
	if (get_bool(e, "done"))
		fprintf(f, " -> status %" PRIu64 "%s%s\n", get_u64(e, "status"),
		    get_u64(e, "id") == 0 ? "" : ", id ",
		    get_u64(e, "id") == 0 ? "" : get_str(e, "id"));
	else
		fputs(" -> no answer recorded\n", f);
}

static void
print_path(FILE *f, const json_t *d)
{
	const json_t	*e;
	size_t		 j;

	fprintf(f, "%s %s for pool %s: %s\n", get_str(d, "event"),
	    get_str(d, "object"), get_str(d, "pool"), get_str(d, "state"));
	fprintf(f, "  delivery %s   key %s   shard %" PRIu64 "   seq %" PRIu64 "%s\n",
	    get_str(d, "delivery"), get_str(d, "key"), get_u64(d, "shard"),
	    get_u64(d, "seq"),
	    get_bool(d, "replayed") ? "   replayed" : "");
	fprintf(f, "  on %.10s, UTC\n", get_str(d, "received"));
	fprintf(f, "  %-14sreceived, in the journal\n", time_of(get_str(d, "received")));
	if (json_is_string(json_object_get(d, "given")))
		fprintf(f, "  %-14sgiven to %s, attempt %" PRIu64 "\n",
		    time_of(get_str(d, "given")),
		    get_str(d, "worker"), get_u64(d, "attempts"));
	json_array_foreach(json_object_get(d, "effects"), j, e)
		print_effect(f, e);
	if (json_is_string(json_object_get(d, "finished")))
		fprintf(f, "  %-14s%s\n", time_of(get_str(d, "finished")),
		    get_str(d, "state"));
	if (get_u64(d, "charges") > 0)
		fprintf(f, "  charged with %" PRIu64 " deaths\n", get_u64(d, "charges"));
	if (json_is_string(json_object_get(d, "report"))) {
		fprintf(f, "  set aside (%s): ", get_str(d, "reason"));
		print_clean(f, get_str(d, "report"), "\n");
		fputc('\n', f);
	}
}

void
pathout_explain(FILE *f, const json_t *doc)
{
	const json_t	*d;
	size_t		 i;

	json_array_foreach(json_object_get(doc, "deliveries"), i, d) {
		if (i > 0)
			fputc('\n', f);
		print_path(f, d);
	}
}

/* ---- dead letters ---- */

void
pathout_dead(FILE *f, const json_t *doc, const struct look *look)
{
	static const char *const heads[] = {
		"DELIVERY", "?POOL", "?EVENT", "OBJECT", ">?TRY", ">ASIDE", "REASON", "WHY"
	};
	const json_t	*d;
	struct table	 t;
	size_t		 i;
	char		 text[32];

	table_init(&t, heads, sizeof(heads) / sizeof(*heads));
	json_array_foreach(json_object_get(doc, "dead"), i, d) {
		row(&t);
		put(&t, 0, "%s", get_str(d, "delivery"));
		put(&t, 1, "%s", get_str(d, "pool"));
		put(&t, 2, "%s", get_str(d, "event"));
		put(&t, 3, "%s", get_str(d, "object"));
		put(&t, 4, "%" PRIu64, get_u64(d, "attempts"));
		put_ms(&t, 5, get_u64(d, "aside_ms"));
		put(&t, 6, "%s", get_str(d, "reason"));
		put(&t, 7, "%s", get_str(d, "report"));
	}
	if (t.rows == 0) {
		fputs("no dead letters\n", f);
		return;
	}
	table_print(f, &t, look);
	fprintf(f, "\n%" PRIu64 " dead letters with %" PRIu64 " bytes, the oldest %s ago%s\n",
	    get_u64(doc, "letters"), get_u64(doc, "bytes"),
	    clock_human_ms(get_u64(doc, "oldest_ms"), text, sizeof(text)),
	    get_bool(doc, "cut") ? " (the list is cut)" : "");
}

/* One in full, and what the event said. */
void
pathout_letters(FILE *f, const json_t *doc)
{
	const json_t	*d, *body;
	size_t		 i;
	char		*text;

	json_array_foreach(json_object_get(doc, "deliveries"), i, d) {
		if (i > 0)
			fputc('\n', f);
		print_path(f, json_object_get(d, "path"));
		body = json_object_get(d, "body");
		if (json_is_null(body)) {
			fprintf(f, "  body of %" PRIu64 " bytes, not shown\n", get_u64(d, "bytes"));
			continue;
		}
		text = json_dumps(body, JSON_ENCODE_ANY | JSON_INDENT(2));
		print_clean(f, text, "\n\t");
		fputc('\n', f);
		free(text);
	}
}
