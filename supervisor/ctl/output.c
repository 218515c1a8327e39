/*
 * output - see output.h.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "supervisor/ctl/doc.h"
#include "supervisor/ctl/lifeout.h"
#include "supervisor/ctl/output.h"
#include "supervisor/ctl/pathout.h"
#include "supervisor/ctl/quotaout.h"
#include "supervisor/ctl/table.h"
#include "supervisor/ctl/workerout.h"

static void
print_bytes(FILE *f, uint64_t n)
{
	if (n >= 10u << 20)
		fprintf(f, "%" PRIu64 " MiB", n >> 20);
	else if (n >= 10u << 10)
		fprintf(f, "%" PRIu64 " KiB", n >> 10);
	else
		fprintf(f, "%" PRIu64 " B", n);
}

/* ---- status ---- */

static void
print_health(FILE *f, const json_t *doc, const struct look *look)
{
	const char	*health = get_str(doc, "health"), *tint = RED;
	char		 text[32];

	if (strcmp(health, "ok") == 0)
		tint = GREEN;
	else if (strcmp(health, "degraded") == 0)
		tint = YELLOW;
	fprintf(f, "%-9s%s%s%s%s   %s for %s   bulkhead %s   pid %" PRIu64 "\n", "health",
	    look->color ? BOLD : "", look->color ? tint : "", health, look->color ? PLAIN : "",
	    get_str(doc, "phase"),
	    clock_human_ms(get_u64(doc, "uptime_ms"), text, sizeof(text)), get_str(doc, "version"),
	    get_u64(doc, "pid"));
}

static void
print_gateway(FILE *f, const json_t *doc)
{
	const json_t	*g = json_object_get(doc, "gateway");
	char		 text[32];

	fprintf(f, "%-9s", "gateway");
	if (!json_is_object(g)) {
		fputs("none (--no-gateway)\n", f);
		return;
	}
	fprintf(f, "%s for %s", get_str(g, "state"),
	    clock_human_ms(get_u64(g, "state_ms"), text, sizeof(text)));
	if (get_u64(g, "latency_us") != 0)
		fprintf(f, "   latency %.1f ms", (double)get_u64(g, "latency_us") / 1000);
	fprintf(f, "   seq %" PRIu64 "   connects %" PRIu64 "   resumes %" PRIu64 "\n",
	    get_u64(g, "seq"), get_u64(g, "connects"), get_u64(g, "resumes"));
	if (!get_bool(g, "live") && get_u64(g, "retry_in_ms") != 0)
		fprintf(f, "%-9snext attempt in %s\n", "",
		    clock_human_ms(get_u64(g, "retry_in_ms"), text, sizeof(text)));
	if (!get_bool(g, "live") && strcmp(get_str(g, "last_close"), "-") != 0)
		fprintf(f, "%-9slast close: %s\n", "", get_str(g, "last_close"));
}

static void
print_gap(FILE *f, const json_t *g)
{
	if (!json_is_object(g))
		return;
	fprintf(f, "%-9s%s .. %s   %s   %" PRIu64 " of %" PRIu64 " channels filled", "gap",
	    get_str(g, "from"), get_str(g, "to"), get_bool(g, "filling") ? "being filled" :
	    get_bool(g, "whole") ? "filled" : "not whole", get_u64(g, "filled"),
	    get_u64(g, "channels"));
	if (get_u64(g, "refused") != 0)
		fprintf(f, "   %" PRIu64 " refused", get_u64(g, "refused"));
	if (get_u64(g, "failed") + get_u64(g, "skipped") != 0)
		fprintf(f, "   %" PRIu64 " failed   %" PRIu64 " skipped", get_u64(g, "failed"),
		    get_u64(g, "skipped"));
	fprintf(f, "   %" PRIu64 " messages recovered\n", get_u64(g, "recovered"));
}

static void
print_journal(FILE *f, const json_t *doc)
{
	const json_t	*j = json_object_get(doc, "journal"),
	    *d = json_object_get(doc, "deliveries");

	fprintf(f, "%-9s", "journal");
	print_bytes(f, get_u64(j, "live_bytes"));
	fputs(" of ", f);
	print_bytes(f, get_u64(j, "bytes"));
	fprintf(f, "   waiting %" PRIu64 "   given %" PRIu64 "   aside %" PRIu64
	    "   finished %" PRIu64 "\n",
	    get_u64(d, "waiting"), get_u64(d, "given"), get_u64(d, "aside"),
	    get_u64(d, "finished"));
	fprintf(f, "%-9s%" PRIu64 " open\n", "calls", get_u64(doc, "calls_open"));
}

static void
print_pools(FILE *f, const json_t *pools, const struct look *look)
{
	static const char *const heads[] = {
		"POOL", "ROLE", ">READY", ">WAITING", ">GIVEN", ">OLDEST"
	};
	struct table	 t;
	const json_t	*p;
	size_t		 i;

	table_init(&t, heads, sizeof(heads) / sizeof(*heads));
	json_array_foreach(pools, i, p) {
		row(&t);
		put(&t, 0, "%s", get_str(p, "name"));
		put(&t, 1, "%s", get_str(p, "role"));
		put(&t, 2, "%" PRIu64 "/%" PRIu64, get_u64(p, "ready"), get_u64(p, "workers"));
		tint(&t, 2, get_u64(p, "ready") == get_u64(p, "workers") ? GREEN :
		    get_u64(p, "ready") == 0 ? RED : YELLOW);
		put(&t, 3, "%" PRIu64, get_u64(p, "waiting"));
		put(&t, 4, "%" PRIu64, get_u64(p, "given"));
		if (get_u64(p, "oldest_ms") == 0)
			put(&t, 5, "-");
		else
			put_ms(&t, 5, get_u64(p, "oldest_ms"));
	}
	table_print(f, &t, look);
}

/* Everything of pools; status has the short form. */
static void
show_pools(FILE *f, const json_t *pools, const struct look *look)
{
	static const char *const heads[] = {
		"POOL", ">CONFIGURED", ">?RUNNING", ">READY", ">?BESIDE", ">?CREDIT", ">OPEN",
		">WAITING", ">OLDEST", ">?RESTARTS", ">?RECYCLED"
	};
	struct table	 t;
	const json_t	*p, *back;
	char		 text[32];
	size_t		 i;

	table_init(&t, heads, sizeof(heads) / sizeof(*heads));
	json_array_foreach(pools, i, p) {
		row(&t);
		put(&t, 0, "%s", get_str(p, "name"));
		put(&t, 1, "%" PRIu64, get_u64(p, "configured"));
		put(&t, 2, "%" PRIu64, get_u64(p, "workers"));
		put(&t, 3, "%" PRIu64, get_u64(p, "ready"));
		put(&t, 4, "%" PRIu64, get_u64(p, "beside"));
		put(&t, 5, "%" PRIu64, get_u64(p, "credit"));
		put(&t, 6, "%" PRIu64, get_u64(p, "open"));
		put(&t, 7, "%" PRIu64, get_u64(p, "waiting"));
		if (get_u64(p, "oldest_ms") == 0)
			put(&t, 8, "-");
		else
			put_ms(&t, 8, get_u64(p, "oldest_ms"));
		put(&t, 9, "%" PRIu64, get_u64(p, "restarts"));
		put(&t, 10, "%" PRIu64, get_u64(p, "recycled"));
	}
	table_print(f, &t, look);
	json_array_foreach(pools, i, p) {
		back = json_object_get(p, "rolled_back");
		if (!json_is_object(back))
			continue;
		fprintf(f, "\n%s was rolled back %s ago, its successor did not get ready: ",
		    get_str(back, "worker"),
		    clock_human_ms(get_u64(back, "ago_ms"), text, sizeof(text)));
		print_clean(f, get_str(back, "text"), "");
		fputc('\n', f);
	}
}

/* Processes beside those that hold the places: old ones that finish, and successors. */
static void
put_beside(struct table *t, const json_t *beside)
{
	const json_t	*w;
	char		 text[32];
	size_t		 i;

	json_array_foreach(beside, i, w) {
		row(t);
		put(t, 0, "%s", get_str(w, "tag"));
		put(t, 1, "%" PRIu64, get_u64(w, "generation"));
		put(t, 2, "%s", get_str(w, "state"));
		put(t, 3, "%" PRIu64, get_u64(w, "open"));
		put(t, 4, "-");
		put_ms(t, 5, get_u64(w, "uptime_ms"));
		put(t, 6, "%" PRIu64 "M", (get_u64(w, "rss_kib") + 512) / 1024);
		if (get_u64(w, "ends_in_ms") != 0)
			put(t, 7, "(%s, ends in %s at most)", get_str(w, "what"),
			    clock_human_ms(get_u64(w, "ends_in_ms"), text, sizeof(text)));
		else
			put(t, 7, "(%s)", get_str(w, "what"));
	}
}

static const char *
state_tint(const char *state)
{
	if (strcmp(state, "ready") == 0)
		return GREEN;
	return strcmp(state, "failed") == 0 || strcmp(state, "held") == 0 ? RED : YELLOW;
}

static void
print_workers(FILE *f, const json_t *doc, const struct look *look)
{
	static const char *const heads[] = {
		"WORKER", ">?GEN", "STATE", ">OPEN", ">?RESTARTS", ">UP", ">?RSS", "LAST DEATH"
	};
	const json_t	*workers = json_object_get(doc, "workers"), *w, *last;
	struct table	 t;
	char		 text[32];
	size_t		 i;

	table_init(&t, heads, sizeof(heads) / sizeof(*heads));
	json_array_foreach(workers, i, w) {
		last = json_object_get(w, "last");
		row(&t);
		put(&t, 0, "%s", get_str(w, "name"));
		put(&t, 1, "%" PRIu64, get_u64(w, "generation"));
		if (get_u64(w, "retry_in_ms") != 0)
			put(&t, 2, "%s %s", get_str(w, "state"),
			    clock_human_ms(get_u64(w, "retry_in_ms"), text, sizeof(text)));
		else
			put(&t, 2, "%s%s", get_str(w, "state"), get_bool(w, "active") ? " *" : "");
		tint(&t, 2, state_tint(get_str(w, "state")));
		put(&t, 3, "%" PRIu64, get_u64(w, "open"));
		put(&t, 4, "%" PRIu64, get_u64(w, "restarts"));
		if (get_u64(w, "pid") == 0) {
			put(&t, 5, "-");
			put(&t, 6, "-");
		} else {
			put_ms(&t, 5, get_u64(w, "uptime_ms"));
			put(&t, 6, "%" PRIu64 "M", (get_u64(w, "rss_kib") + 512) / 1024);
		}
		if (json_is_object(last))
			put(&t, 7, "%s ago: %s",
			    clock_human_ms(get_u64(last, "ago_ms"), text, sizeof(text)),
			    get_str(last, "text"));
		else
			put(&t, 7, "-");
	}
	put_beside(&t, json_object_get(doc, "beside"));
	table_print(f, &t, look);
}

static void
print_status(FILE *f, const json_t *doc, const struct look *look)
{
	const json_t	*whys = json_object_get(doc, "why"), *why;
	const json_t	*notes = json_object_get(doc, "notes");
	size_t		 i;

	print_health(f, doc, look);
	print_gateway(f, doc);
	print_gap(f, json_object_get(doc, "gap"));
	print_journal(f, doc);
	lifeout_status(f, doc);
	fputc('\n', f);
	print_pools(f, json_object_get(doc, "pools"), look);
	fputc('\n', f);
	print_workers(f, doc, look);
	if (json_array_size(whys) + json_array_size(notes) > 0)
		fputc('\n', f);
	json_array_foreach(whys, i, why) {
		fprintf(f, "%s! ", look->color ? YELLOW : "");
		print_clean(f, json_string_value(why), "");
		fprintf(f, "%s\n", look->color ? PLAIN : "");
	}
	json_array_foreach(notes, i, why) {
		fputs("  ", f);
		print_clean(f, json_string_value(why), "");
		fputc('\n', f);
	}
}

/* ---- show ---- */

static void
print_deliveries(FILE *f, const json_t *doc, const struct look *look)
{
	static const char *const heads[] = {
		"STATE", "DELIVERY", "?POOL", "EVENT", ">?TRY", ">AGE", "WORKER", "WHY"
	};
	static const char *const lists[] = { "given", "waiting", "aside" };
	const json_t	*d, *counts = json_object_get(doc, "deliveries");
	struct table	 t;
	size_t		 i;

	table_init(&t, heads, sizeof(heads) / sizeof(*heads));
	for (size_t l = 0; l < sizeof(lists) / sizeof(*lists); l++)
		json_array_foreach(json_object_get(doc, lists[l]), i, d) {
			row(&t);
			put(&t, 0, "%s",
			    json_object_get(d, "aside") == NULL ? lists[l] : get_str(d, "aside"));
			put(&t, 1, "%s", get_str(d, "delivery"));
			put(&t, 2, "%s", get_str(d, "pool"));
			put(&t, 3, "%s", get_str(d, "event"));
			put(&t, 4, "%" PRIu64, get_u64(d, "attempt"));
			put_ms(&t, 5, get_u64(d, "age_ms"));
			put(&t, 6, "%s", get_str(d, "worker"));
			put(&t, 7, "%s", get_str(d, "report"));
		}
	if (t.rows > 0) {
		table_print(f, &t, look);
		fputc('\n', f);
	}
	fprintf(f, "waiting %" PRIu64 "   given %" PRIu64 "   aside %" PRIu64
	    "   finished %" PRIu64 "%s\n",
	    get_u64(counts, "waiting"), get_u64(counts, "given"), get_u64(counts, "aside"),
	    get_u64(counts, "finished"), get_bool(doc, "cut") ? "   (the list is cut)" : "");
}

/* The typed HTTP sessions of the workers. */
static void
print_http_sessions(FILE *f, const json_t *sessions, const struct look *look)
{
	static const char *const heads[] = { "WORKER", "SESSION", "STATE", "WHY" };
	struct table	 t;
	const json_t	*s;
	size_t		 i;

	table_init(&t, heads, sizeof(heads) / sizeof(*heads));
	json_array_foreach(sessions, i, s) {
		row(&t);
		put(&t, 0, "%s%s", get_str(s, "worker"), get_bool(s, "active") ? " *" : "");
		put(&t, 1, "%s", get_str(s, "session"));
		put(&t, 2, "%s", get_str(s, "state"));
		put(&t, 3, "%s", get_str(s, "why"));
	}
	table_print(f, &t, look);
}

static void
print_sessions(FILE *f, const json_t *doc, const struct look *look)
{
	const json_t	*g = json_object_get(doc, "gateway"),
	    *id = json_object_get(doc, "identity");
	char		 text[32];

	print_gateway(f, doc);
	if (json_is_object(g)) {
		fprintf(f, "%-9ssession %s\n", "", get_str(g, "session_id"));
		fprintf(f, "%-9sidentifies %" PRIu64, "", get_u64(g, "identifies"));
		if (json_is_integer(json_object_get(g, "identifies_left")))
			fprintf(f, " (%" PRIu64 " left today)", get_u64(g, "identifies_left"));
		fprintf(f, "   zombies %" PRIu64 "   beats %" PRIu64 "   jitter at most %.1f ms\n",
		    get_u64(g, "zombies"), get_u64(g, "beats"),
		    (double)get_u64(g, "beat_jitter_max_us") / 1000);
		if (json_is_integer(json_object_get(g, "dispatch_age_ms")))
			fprintf(f, "%-9slast dispatch %s ago\n", "",
			    clock_human_ms(get_u64(g, "dispatch_age_ms"), text, sizeof(text)));
	}
	if (json_is_object(id))
		fprintf(f, "%-9suser %s   application %s   shard %" PRIu64 " of %" PRIu64 "\n",
		    "bot", get_str(id, "user"), get_str(id, "application"), get_u64(id, "shard"),
		    get_u64(id, "shards"));
	fputc('\n', f);
	print_http_sessions(f, json_object_get(doc, "sessions"), look);
}

static void
print_gaps(FILE *f, const json_t *doc)
{
	const json_t	*gaps = json_object_get(doc, "gaps"), *g, *row;
	size_t		 i, j;

	json_array_foreach(gaps, i, g) {
		print_gap(f, g);
		json_array_foreach(json_object_get(g, "missing"), j, row)
			fprintf(f, "%-9schannel %s: %s\n", "", get_str(row, "channel"),
			    get_str(row, "why"));
	}
	if (json_array_size(gaps) == 0)
		fputs("no gaps\n", f);
	fprintf(f, "channels whose last message is known, so that a gap can be filled from there: %"
	    PRIu64 "\n", get_u64(doc, "channels_known"));
	if (get_u64(doc, "channels_forgotten") != 0)
		fprintf(f, "channels that were forgotten to make room: %" PRIu64 "\n",
		    get_u64(doc, "channels_forgotten"));
}

static void
print_counters(FILE *f, const json_t *doc, const struct look *look)
{
	static const char *const heads[] = { "COUNTER", ">VALUE", "?UNIT", "MEANING" };
	struct table	 t;
	const json_t	*c;
	size_t		 i;

	table_init(&t, heads, sizeof(heads) / sizeof(*heads));
	json_array_foreach(json_object_get(doc, "counters"), i, c) {
		row(&t);
		put(&t, 0, "%s", get_str(c, "name"));
		put(&t, 1, "%" PRIu64, get_u64(c, "value"));
		put(&t, 2, "%s", get_str(c, "unit"));
		put(&t, 3, "%s", get_str(c, "help"));
	}
	table_print(f, &t, look);
}

/* ---- the configuration: as it would be written in the file ---- */

static void
print_setting(FILE *f, const json_t *o, const json_t *v)
{
	const json_t	*item;
	size_t		 i;
	bool		 text = strcmp(get_str(o, "type"), "text") == 0;

	if (json_is_array(v)) {
		fputc('{', f);
		json_array_foreach(v, i, item) {
			fputs(i == 0 ? " \"" : ", \"", f);
			print_clean(f, json_string_value(item), "");
			fputc('"', f);
		}
		fputs(json_array_size(v) == 0 ? "}" : " }", f);
	} else if (json_is_string(v)) {
		fputs(text ? "\"" : "", f);
		print_clean(f, json_string_value(v), "");
		fputs(text ? "\"" : "", f);
	} else {
		json_dumpf(v, f, JSON_ENCODE_ANY | JSON_COMPACT);
	}
}

/* `pool "echo" {`, `chat {`; "" and false: an option outside of any section. */
static bool
section_of(const json_t *o, char *dst, size_t dst_bytes)
{
	const char	*scope = get_str(o, "scope");

	dst[0] = '\0';
	if (strcmp(scope, "global") == 0)
		return false;
	if (json_is_string(json_object_get(o, "title")))
		snprintf(dst, dst_bytes, "%s \"%s\" {", scope, get_str(o, "title"));
	else
		snprintf(dst, dst_bytes, "%s {", scope);
	return true;
}

/* Where the value stands; what is the default, and written out all the same, is said too. */
static void
print_origin(FILE *f, const json_t *o)
{
	const char	*origin = get_str(o, "origin");

	fputs("  # ", f);
	print_clean(f, origin, "");
	if (get_bool(o, "former"))
		fputs("; another by now, which 'bulkheadctl upgrade' takes", f);
	else if (get_bool(o, "default") && strcmp(origin, "default") != 0)
		fputs(", as by default", f);
	fputc('\n', f);
}

static void
print_config(FILE *f, const json_t *doc)
{
	const json_t	*o, *v;
	char		 section[128] = "", in[128];
	size_t		 i, indent;

	fprintf(f, "# hash %s; intents asked for:", get_str(doc, "hash"));
	json_array_foreach(json_object_get(doc, "intents"), i, v) {
		fputc(' ', f);
		print_clean(f, json_string_value(v), "");
	}
	fputc('\n', f);
	json_array_foreach(json_object_get(doc, "options"), i, o) {
		indent = section_of(o, in, sizeof(in)) ? 2 : 0;
		if (strcmp(in, section) != 0) {
			fprintf(f, "%s%s\n", section[0] == '\0' ? "" : "}\n", in);
			strlcpy(section, in, sizeof(section));
		}
		v = json_object_get(o, "value");
		/* An empty list that is written is something else than none: no events, say. */
		if (json_is_null(v) || (json_is_array(v) && json_array_size(v) == 0 &&
		    get_bool(o, "default"))) {
			fprintf(f, "%*s# %s is not set\n", (int)indent, "", get_str(o, "name"));
			continue;
		}
		fprintf(f, "%*s%-*s = ", (int)indent, "", (int)(16 - indent), get_str(o, "name"));
		print_setting(f, o, v);
		print_origin(f, o);
	}
	if (section[0] != '\0')
		fputs("}\n", f);
}

/* ---- everything else: key and value, one per line; below that as JSON ---- */

static void
print_value(FILE *f, const json_t *v)
{
	if (json_is_string(v))
		print_clean(f, json_string_value(v), "");
	else
		json_dumpf(v, f, JSON_ENCODE_ANY | JSON_COMPACT);
}

static void
print_pairs(FILE *f, const json_t *o, unsigned depth)
{
	const json_t	*v, *item;
	const char	*key;
	size_t		 i;

	json_object_foreach((json_t *)(uintptr_t)o, key, v) {
		if (json_is_object(v)) {
			fprintf(f, "%*s%s\n", (int)depth * 2, "", key);
			print_pairs(f, v, depth + 1);
		} else if (json_is_array(v) && json_is_object(json_array_get(v, 0))) {
			json_array_foreach(v, i, item) {
				fprintf(f, "%*s%s %zu\n", (int)depth * 2, "", key, i + 1);
				print_pairs(f, item, depth + 1);
			}
		} else {
			fprintf(f, "%*s%-*s ", (int)depth * 2, "", 24 - (int)depth * 2, key);
			print_value(f, v);
			fputc('\n', f);
		}
	}
}

/* ---- call ---- */

static void
print_call(FILE *f, const json_t *doc)
{
	const json_t	*body = json_object_get(doc, "body");

	if (json_is_string(body) && json_string_length(body) == 0) {
		if (get_u64(doc, "status") != 0)
			fprintf(f, "status %" PRIu64 "\n", get_u64(doc, "status"));
	} else if (json_is_string(body)) {
		print_clean(f, json_string_value(body), "\n\t");
		fputc('\n', f);
	} else {
		json_dumpf(body, f, JSON_ENCODE_ANY | JSON_INDENT(2));
		fputc('\n', f);
	}
}

void
output_text(FILE *f, const char *verb, const char *topic, const json_t *doc,
    const struct look *look)
{
	if (strcmp(verb, "status") == 0)
		print_status(f, doc, look);
	else if (strcmp(verb, "reload") == 0)
		lifeout_reload(f, doc);
	else if (strcmp(verb, "upgrade") == 0)
		lifeout_upgrade(f, doc);
	else if (strcmp(verb, "stop") == 0)
		lifeout_stop(f, doc);
	else if (strcmp(verb, "call") == 0)
		print_call(f, doc);
	else if (strcmp(verb, "presence") == 0)
		quotaout_presence(f, doc);
	else if (strcmp(verb, "explain") == 0)
		pathout_explain(f, doc);
	else if (strcmp(verb, "dead") == 0)
		pathout_letters(f, doc);
	else if (strcmp(topic, "dead") == 0)
		pathout_dead(f, doc, look);
	else if (strcmp(topic, "pools") == 0)
		show_pools(f, json_object_get(doc, "pools"), look);
	else if (strcmp(topic, "workers") == 0)
		print_workers(f, doc, look);
	else if (strcmp(topic, "worker") == 0)
		workerout_show(f, doc);
	else if (strcmp(topic, "deliveries") == 0)
		print_deliveries(f, doc, look);
	else if (strcmp(topic, "sessions") == 0)
		print_sessions(f, doc, look);
	else if (strcmp(topic, "counters") == 0)
		print_counters(f, doc, look);
	else if (strcmp(topic, "shards") == 0)
		quotaout_shards(f, doc, look);
	else if (strcmp(topic, "buckets") == 0)
		quotaout_buckets(f, doc, look);
	else if (strcmp(topic, "gaps") == 0)
		print_gaps(f, doc);
	else if (strcmp(topic, "config") == 0)
		print_config(f, doc);
	else if (json_is_string(json_object_get(doc, "answer")))
		fprintf(f, "%s\n", json_string_value(json_object_get(doc, "answer")));
	else if (json_is_object(doc))
		print_pairs(f, doc, 0);
	else {
		json_dumpf(doc, f, JSON_ENCODE_ANY | JSON_INDENT(2));
		fputc('\n', f);
	}
}
