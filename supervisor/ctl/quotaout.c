/*
 * quotaout - see quotaout.h.
 */
#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "supervisor/ctl/doc.h"
#include "supervisor/ctl/quotaout.h"
#include "supervisor/ctl/table.h"

static bool
has_number(const json_t *o, const char *key)
{
	return json_is_integer(json_object_get(o, key));
}

static void
put_u64(struct table *t, size_t column, const json_t *o, const char *key)
{
	if (has_number(o, key))
		put(t, column, "%" PRIu64, get_u64(o, key));
	else
		put(t, column, "-");
}

static void
put_age(struct table *t, size_t column, const json_t *o, const char *key)
{
	if (has_number(o, key))
		put_ms(t, column, get_u64(o, key));
	else
		put(t, column, "-");
}

void
quotaout_shards(FILE *f, const json_t *doc, const struct look *look)
{
	static const char *const heads[] = {
		"SHARD", "STATE", ">FOR", ">?SEQ", ">LATENCY", ">ACK", ">EVENT", ">?CONNECTS",
		">?RESUMES", ">?IDENTIFIES", "LAST CLOSE"
	};
	const json_t	*s, *identify = json_object_get(doc, "identify");
	struct table	 t;
	char		 text[32];
	size_t		 i;

	table_init(&t, heads, sizeof(heads) / sizeof(*heads));
	json_array_foreach(json_object_get(doc, "shards"), i, s) {
		row(&t);
		put(&t, 0, "%" PRIu64 " of %" PRIu64, get_u64(s, "shard"), get_u64(s, "shards"));
		if (get_u64(s, "retry_in_ms") != 0)
			put(&t, 1, "%s %s", get_str(s, "state"),
			    clock_human_ms(get_u64(s, "retry_in_ms"), text, sizeof(text)));
		else
			put(&t, 1, "%s", get_str(s, "state"));
		tint(&t, 1, json_is_true(json_object_get(s, "live")) ? GREEN : RED);
		put_age(&t, 2, s, "state_ms");
		put_u64(&t, 3, s, "seq");
		if (has_number(s, "latency_us"))
			put(&t, 4, "%.1f ms", (double)get_u64(s, "latency_us") / 1000);
		else
			put(&t, 4, "-");
		put_age(&t, 5, s, "ack_age_ms");
		put_age(&t, 6, s, "dispatch_age_ms");
		put_u64(&t, 7, s, "connects");
		put_u64(&t, 8, s, "resumes");
		put_u64(&t, 9, s, "identifies");
		put(&t, 10, "%s", get_str(s, "last_close"));
	}
	if (t.rows == 0) {
		fputs("no shards (--no-gateway)\n", f);
		return;
	}
	table_print(f, &t, look);
	if (!json_is_object(identify))
		return;
	fputs("\nIDENTIFYs left today: ", f);
	if (has_number(identify, "left"))
		fprintf(f, "%" PRIu64, get_u64(identify, "left"));
	else
		fputs("not asked yet", f);
	if (get_u64(identify, "next_in_ms") != 0)
		fprintf(f, "   the next one may go in %s",
		    clock_human_ms(get_u64(identify, "next_in_ms"), text, sizeof(text)));
	fputc('\n', f);
}

/* What holds more than one bucket, when something does. */
static void
print_holds(FILE *f, const json_t *doc)
{
	char	 text[32];

	if (json_is_true(json_object_get(doc, "token_refused")))
		fputs("Discord refused the token (401): nothing is sent any more\n", f);
	if (get_u64(doc, "cloudflare_ms") != 0)
		fprintf(f, "Cloudflare stopped everything from this address for %s more\n",
		    clock_human_ms(get_u64(doc, "cloudflare_ms"), text, sizeof(text)));
	if (get_u64(doc, "global_ms") != 0)
		fprintf(f, "the global limit holds everything but interactions for %s more\n",
		    clock_human_ms(get_u64(doc, "global_ms"), text, sizeof(text)));
	if (get_u64(doc, "invalid") >= get_u64(doc, "invalid_slow_from"))
		fputs("so many requests were refused that one a second goes: at 10000 in 10 minutes"
		    " Cloudflare bans the address\n", f);
}

void
quotaout_buckets(FILE *f, const json_t *doc, const struct look *look)
{
	static const char *const heads[] = {
		"ROUTE", ">LIMIT", ">LEFT", ">RESETS", ">IN FLIGHT", ">?USED", "?BUCKET"
	};
	const json_t	*buckets = json_object_get(doc, "buckets"), *b;
	struct table	 t;
	size_t		 i;

	fprintf(f, "requests %" PRIu64 " of %" PRIu64 " in the last second   waiting %" PRIu64
	    "   on the wire %" PRIu64 "   refused %" PRIu64 " in 10 minutes\n",
	    get_u64(doc, "last_second"), get_u64(doc, "per_second"), get_u64(doc, "waiting"),
	    get_u64(doc, "on_wire"), get_u64(doc, "invalid"));
	print_holds(f, doc);
	fputc('\n', f);
	table_init(&t, heads, sizeof(heads) / sizeof(*heads));
	json_array_foreach(buckets, i, b) {
		row(&t);
		put(&t, 0, "%s", get_str(b, "route"));
		if (json_is_true(json_object_get(b, "unlimited")))
			put(&t, 1, "none");
		else
			put_u64(&t, 1, b, "limit");
		put_u64(&t, 2, b, "remaining");
		if (has_number(b, "remaining") && get_u64(b, "remaining") == 0)
			tint(&t, 2, YELLOW);
		if (get_u64(b, "reset_ms") != 0)
			put_age(&t, 3, b, "reset_ms");
		else
			put(&t, 3, "-");
		put_u64(&t, 4, b, "in_flight");
		put_age(&t, 5, b, "idle_ms");
		put(&t, 6, "%s", get_str(b, "bucket"));
	}
	if (t.rows == 0) {
		fputs("no bucket was used yet\n", f);
		return;
	}
	table_print(f, &t, look);
	if (get_u64(doc, "buckets_n") > json_array_size(buckets))
		fprintf(f, "\n%" PRIu64 " more, used longer ago\n",
		    get_u64(doc, "buckets_n") - json_array_size(buckets));
}

void
quotaout_presence(FILE *f, const json_t *doc)
{
	static const char *const kinds[] = {
		"playing", "streaming", "listening to", "watching", "", "competing in"
	};
	const json_t	*p = json_object_get(doc, "presence"), *a;
	size_t		 i;
	uint64_t	 type;

	if (!json_is_object(p)) {
		fputs("never set: online, as Discord shows it by itself\n", f);
		return;
	}
	print_clean(f, get_str(p, "status"), "");
	json_array_foreach(json_object_get(p, "activities"), i, a) {
		type = get_u64(a, "type");
		fputs(", ", f);
		if (type < sizeof(kinds) / sizeof(*kinds) && kinds[type][0] != '\0')
			fprintf(f, "%s ", kinds[type]);
		print_clean(f, get_str(a, type == 4 ? "state" : "name"), "");
	}
	fputs(json_is_true(json_object_get(doc, "told")) ? "\n" :
	    " (Discord is told as soon as its limits and the connection allow)\n", f);
}
