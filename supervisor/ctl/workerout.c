/*
 * workerout - see workerout.h.
 */
#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "supervisor/ctl/doc.h"
#include "supervisor/ctl/table.h"
#include "supervisor/ctl/workerout.h"

/* "MESSAGE_CREATE 1234, attempt 2, for 1.2s (delivery 00ab...)" */
static void
print_held(FILE *f, const json_t *h)
{
	char	 text[32];

	print_clean(f, get_str(h, "event"), "");
	if (json_is_string(json_object_get(h, "object")))
		fprintf(f, " %s", get_str(h, "object"));
	fprintf(f, ", out for %s", clock_human_ms(get_u64(h, "out_ms"), text, sizeof(text)));
	if (get_u64(h, "attempt") > 1)
		fprintf(f, ", attempt %" PRIu64, get_u64(h, "attempt"));
	fprintf(f, " (delivery %s)\n", get_str(h, "delivery"));
}

static void
print_lines(FILE *f, const char *title, const json_t *lines)
{
	const json_t	*line;
	size_t		 i;

	if (json_array_size(lines) > 0)
		fprintf(f, "  %s\n", title);
	json_array_foreach(lines, i, line) {
		fputs("    | ", f);
		print_clean(f, json_string_value(line), "\t");
		fputc('\n', f);
	}
}

/* What keeps a loop busy makes its timers late: half of them at most, all but one of 100, all. */
static void
print_late(FILE *f, const json_t *timers)
{
	if (get_u64(timers, "fired") != 0)
		fprintf(f, "%-12s%.1f ms p50, %.1f ms p99, %.1f ms at most, of %" PRIu64
		    " timers\n", "late", (double)get_u64(timers, "late_p50_us") / 1000,
		    (double)get_u64(timers, "late_p99_us") / 1000,
		    (double)get_u64(timers, "late_max_us") / 1000, get_u64(timers, "fired"));
}

/* What it held: open of them, of which some are named. */
static void
print_holding(FILE *f, const char *indent, const json_t *held, uint64_t open)
{
	const json_t	*h;
	size_t		 i;

	json_array_foreach(held, i, h) {
		fprintf(f, "%s%-12s", indent, i == 0 ? "holds" : "");
		print_held(f, h);
	}
	if (open > json_array_size(held))
		fprintf(f, "%s%-12sand %" PRIu64 " more\n", indent, "",
		    open - json_array_size(held));
}

static void
print_size(FILE *f, const json_t *o, const char *key)
{
	uint64_t	 kib = get_u64(o, key);

	if (kib < 10240)
		fprintf(f, "%" PRIu64 " KiB", kib);
	else
		fprintf(f, "%" PRIu64 " MiB", (kib + 512) / 1024);
}

static void
print_use(FILE *f, const json_t *ob)
{
	char	 user[32], sys[32];

	fprintf(f, "  used        CPU %s user, %s system; ",
	    clock_human_ms(get_u64(ob, "user_ms"), user, sizeof(user)),
	    clock_human_ms(get_u64(ob, "sys_ms"), sys, sizeof(sys)));
	if (json_is_integer(json_object_get(ob, "max_rss_kib")))
		print_size(f, ob, "max_rss_kib");
	else
		fputs("memory not seen, it lived too short", f);
	if (json_is_integer(json_object_get(ob, "memory_bytes")))
		fprintf(f, " of %" PRIu64 " MiB", get_u64(ob, "memory_bytes") >> 20);
	if (json_is_integer(json_object_get(ob, "fds")))
		fprintf(f, "; %" PRIu64 " descriptors", get_u64(ob, "fds"));
	fputc('\n', f);
}

static void
print_obituary(FILE *f, const json_t *ob)
{
	const json_t	*frames = json_object_get(ob, "backtrace");
	char		 text[32], title[256];

	fprintf(f, "\n%s ago  %s  %s  pid %" PRIu64 "\n",
	    clock_human_ms(get_u64(ob, "ago_ms"), text, sizeof(text)), get_str(ob, "at"),
	    get_str(ob, "tag"), get_u64(ob, "pid"));
	fprintf(f, "  %-12s", get_str(ob, "cause"));
	print_clean(f, get_str(ob, "text"), "");
	fprintf(f, "\n  lived       %s, %s%s\n",
	    clock_human_ms(get_u64(ob, "age_ms"), text, sizeof(text)),
	    get_bool(ob, "was_ready") ? "was ready" : "was never ready",
	    get_bool(ob, "was_asked") ? ", was asked to end" : "");
	if (json_is_string(json_object_get(ob, "running"))) {
		fprintf(f, "  ran         delivery %s", get_str(ob, "running"));
		if (json_is_integer(json_object_get(ob, "running_ms")))
			fprintf(f, " for %s", clock_human_ms(get_u64(ob, "running_ms"), text,
			    sizeof(text)));
		fputc('\n', f);
	}
	print_holding(f, "  ", json_object_get(ob, "held"), get_u64(ob, "open"));
	print_use(f, ob);
	if (json_array_size(frames) > 0) {
		snprintf(title, sizeof(title), "backtrace (%s), innermost first", get_str(ob, "crash"));
		print_lines(f, title, frames);
		if (get_u64(ob, "backtrace_cut") > 0)
			fprintf(f, "    | and %" PRIu64 " more\n", get_u64(ob, "backtrace_cut"));
	}
	print_lines(f, "last lines of stderr", json_object_get(ob, "lines"));
}

static void
print_running(FILE *f, const json_t *w)
{
	char	 text[32];

	fprintf(f, "%-12slast progress %s ago\n", "loop",
	    clock_human_ms(get_u64(w, "quiet_ms"), text, sizeof(text)));
	if (!json_is_string(json_object_get(w, "running")))
		return;
	fprintf(f, "%-12sdelivery %s", "runs", get_str(w, "running"));
	if (json_is_integer(json_object_get(w, "running_ms")))
		fprintf(f, " for %s",
		    clock_human_ms(get_u64(w, "running_ms"), text, sizeof(text)));
	fputc('\n', f);
}

/* What one worker may use, and who sees to it. */
static void
print_limits(FILE *f, const json_t *w)
{
	const json_t	*l = json_object_get(w, "limits");
	const char	*why = json_string_value(json_object_get(l, "memory_why"));

	if (json_is_integer(json_object_get(l, "memory_bytes"))) {
		fprintf(f, "%-12s%" PRIu64 " MiB of memory, %s%s", "limit",
		    get_u64(l, "memory_bytes") >> 20, get_str(l, "memory_by"),
		    why == NULL ? "" : ": ");
		print_clean(f, why == NULL ? "" : why, "");
		fputc('\n', f);
	}
	if (json_is_integer(json_object_get(l, "files")))
		fprintf(f, "%-12s%" PRIu64 " descriptors\n", "limit", get_u64(l, "files"));
	if (json_is_string(json_object_get(l, "processes_by")))
		fprintf(f, "%-12s%" PRIu64 " processes and threads, %s%s\n", "limit",
		    get_u64(l, "processes"), strcmp(get_str(l, "processes_by"), "user") == 0 ?
		    "of all of its user: " : "", strcmp(get_str(l, "processes_by"), "user") == 0 ?
		    "no control group with pids is delegated" : get_str(l, "processes_by"));
	if (get_u64(l, "core_bytes") != 0)
		fprintf(f, "%-12s%" PRIu64 " bytes of core file\n", "limit",
		    get_u64(l, "core_bytes"));
}

/* What keeps it from doing what it need not, as far as this kernel can. */
static void
print_confined(FILE *f, const json_t *c)
{
	const json_t	*lack;
	size_t		 i;

	if (json_object_size(c) == 0)
		return;
	fprintf(f, "%-12s%s%s", "confined", get_bool(c, "no_new_privs") ? "no_new_privs, " : "",
	    get_bool(c, "seccomp") ? "seccomp, " :
	    get_bool(c, "hidden") ? "seccomp not known (hidepid), " : "no seccomp, ");
	if (get_u64(c, "landlock") != 0)
		fprintf(f, "landlock %" PRIu64 ", ", get_u64(c, "landlock"));
	else
		fputs("no landlock, ", f);
	fprintf(f, "uid %" PRIu64 "\n", get_u64(c, "uid"));
	json_array_foreach(json_object_get(c, "lacks"), i, lack) {
		fprintf(f, "%-12s", "not kept");
		print_clean(f, json_string_value(lack), "");
		fputc('\n', f);
	}
}

void
workerout_show(FILE *f, const json_t *w)
{
	const json_t	*obs = json_object_get(w, "obituaries"), *ob;
	char		 text[32];
	size_t		 i;

	fprintf(f, "%s  %s for %s%s\n", get_str(w, "tag"), get_str(w, "state"),
	    clock_human_ms(get_u64(w, "state_ms"), text, sizeof(text)),
	    get_bool(w, "active") ? ", active" : "");
	fprintf(f, "%-12s%s (role %s)\n", "pool", get_str(w, "pool"), get_str(w, "role"));
	fprintf(f, "%-12s%" PRIu64 "\n", "restarts", get_u64(w, "restarts"));
	if (get_u64(w, "pid") != 0) {
		fprintf(f, "%-12s%" PRIu64 "\n", "pid", get_u64(w, "pid"));
		fprintf(f, "%-12s%s\n", "up",
		    clock_human_ms(get_u64(w, "uptime_ms"), text, sizeof(text)));
		fprintf(f, "%-12s%" PRIu64 " of %" PRIu64 ", %" PRIu64 " scopes, %" PRIu64
		    " streams\n", "open", get_u64(w, "open"), get_u64(w, "credit"),
		    get_u64(w, "scopes"), get_u64(w, "streams"));
		fprintf(f, "%-12s", "memory");
		print_size(f, w, "rss_kib");
		if (json_is_integer(json_object_get(w, "max_rss_kib"))) {
			fputs(", at most ", f);
			print_size(f, w, "max_rss_kib");
		}
		fputc('\n', f);
		print_late(f, json_object_get(w, "timers"));
	}
	if (json_is_integer(json_object_get(w, "fds")))
		fprintf(f, "%-12s%" PRIu64 " descriptors\n", "files", get_u64(w, "fds"));
	print_limits(f, w);
	print_confined(f, json_object_get(w, "confined"));
	if (json_is_integer(json_object_get(w, "quiet_ms")))
		print_running(f, w);
	print_holding(f, "", json_object_get(w, "held"), get_u64(w, "open"));
	if (get_u64(w, "retry_in_ms") != 0)
		fprintf(f, "%-12s%s\n", "retry in",
		    clock_human_ms(get_u64(w, "retry_in_ms"), text, sizeof(text)));
	json_array_foreach(json_object_get(w, "beside"), i, ob)
		fprintf(f, "%-12s%s %s, pid %" PRIu64 ", open %" PRIu64 ", ends in %s at most\n",
		    get_str(ob, "what"), get_str(ob, "tag"), get_str(ob, "state"),
		    get_u64(ob, "pid"), get_u64(ob, "open"),
		    clock_human_ms(get_u64(ob, "ends_in_ms"), text, sizeof(text)));
	if (json_array_size(obs) == 0)
		fputs("no deaths\n", f);
	json_array_foreach(obs, i, ob)
		print_obituary(f, ob);
}
