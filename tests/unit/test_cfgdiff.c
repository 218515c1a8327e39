/*
 * cfgdiff: what a reload sees, by row; what it takes over and what it leaves as it runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cfgdiff.h"

#define TOKEN	"token = \"abc.def\"\n"
#define POOL	"pool \"echo\" { handler = echo }\n"
#define CHAT	"pool \"chat\" { handler = chat }\n"
#define MODEL(name, more) "model \"" name "\" { base_url = \"https://example.com/v1/\" name = m " more "}\n"

static struct cfg *
parse(const char *text)
{
	char		 path[] = "/tmp/bulkhead-cfgdiff.XXXXXX";
	int		 fd = mkstemp(path);
	struct buf	 out = { 0 };
	const char	*why = "";
	struct cfg	*cfg;

	assert_true(fd != -1);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
	assert_int_equal(cfg_check_file(path, true, &out), 0);
	cfg = cfg_of_frame(buf_span(&out), &why);
	assert_non_null(cfg);
	buf_fini(&out);
	(void)unlink(path);
	return cfg;
}

/* The rows in one line each. */
static char *
text_of(const struct cfgdiff *d)
{
	static const char *const kinds[] = { "changed", "added", "removed" };
	struct buf		 b = { 0 };
	char			*text;

	for (size_t i = 0; i < d->n; i++) {
		const struct cfgdiff_row	*r = &d->rows[i];

		if (r->kind == CFGDIFF_CHANGED)
			buf_printf(&b, "%s%s%s %s -> %s (%s)\n", r->title == NULL ? "" : r->title,
			    r->title == NULL ? "" : ".", r->option->name, r->from, r->to,
			    r->option->reload);
		else
			buf_printf(&b, "%s %s\n", r->title, kinds[r->kind]);
	}
	text = mem_spandup(buf_span(&b));
	buf_fini(&b);
	return text;
}

static void
expect(const char *now_text, const char *next_text, const char *want, size_t start_n)
{
	struct cfg	*now = parse(now_text), *next = parse(next_text);
	struct cfgdiff	 d;
	char		*text;

	cfgdiff_make(now, next, &d);
	text = text_of(&d);
	assert_string_equal(text, want);
	assert_int_equal(d.start_n, start_n);
	assert_null(strstr(text, "secret"));
	free(text);
	cfgdiff_fini(&d);

	/* What was taken over is no difference any more; what needs a start stays one. */
	cfgdiff_take(now, next);
	cfg_unload(&next);
	next = parse(next_text);
	cfgdiff_make(now, next, &d);
	assert_int_equal(d.n, start_n);
	assert_int_equal(d.start_n, start_n);
	if (start_n == 0)
		assert_true(now->hash == next->hash && now->intents_bits == next->intents_bits);
	cfgdiff_fini(&d);
	cfg_unload(&now);
	cfg_unload(&next);
}

/*
 * Lines of the file as it is now, but for what is still as in a former one.
 */
static void
origins_follow_the_file(void **state)
{
	struct cfg	*now = parse(TOKEN POOL "drain = 2\njournal = 1M\npoison = 4\n"), *next;

	(void)state;
	next = parse("# moved\n" TOKEN "journal = 2M\ndrain = 2\n" POOL "hang = 3\n");
	assert_int_equal(now->journal_origin.line, 4);
	cfgdiff_take(now, next);
	assert_int_equal(now->token_origin.line, 2);
	assert_int_equal(now->drain_origin.line, 4);
	assert_int_equal(now->hang_origin.line, 6);
	assert_int_equal(now->poison_origin.from, CFG_FROM_DEFAULT);
	assert_int_equal(now->pools[0].handler_origin.line, 5);
	assert_int_equal(now->journal_bytes, 1 << 20);
	assert_int_equal(now->journal_origin.line, 4);
	assert_true(now->journal_origin.former);
	assert_false(now->token_origin.former || now->poison_origin.former);
	cfg_unload(&next);
	/* Back as it was. */
	next = parse(TOKEN "journal = 1M\n" POOL);
	cfgdiff_take(now, next);
	assert_int_equal(now->journal_origin.line, 2);
	assert_false(now->journal_origin.former);
	cfg_unload(&next);
	cfg_unload(&now);
}

static void
nothing(void **state)
{
	(void)state;
	expect(TOKEN POOL, "# other words\n" POOL TOKEN "drain = 20\npoison = 3\n", "", 0);
	expect(TOKEN MODEL("a", "") MODEL("b", "") CHAT "chat { model = a }\n",
	    TOKEN CHAT MODEL("b", "") MODEL("a", "") "chat { model = a }\n", "", 0);
}

static void
each_kind_of_option(void **state)
{
	(void)state;
	expect(TOKEN POOL, TOKEN POOL "drain = 1.5\nlog_level = debug\ncompress = none\njournal = 128M\n",
	    "compress zlib -> none (start)\njournal 64M -> 128M (start)\n"
	    "log_level info -> debug (live)\ndrain 20 -> 1.5 (live)\n", 2);
	expect(TOKEN POOL "content = true\n", TOKEN POOL "content = false\nca_file = \"/etc/passwd\"\n",
	    "content true -> false (start)\nca_file (not set) -> /etc/passwd (start)\n", 2);
	expect(TOKEN POOL, TOKEN "pool \"echo\" { handler = echo events = { MESSAGE_CREATE, TYPING_START } }\n",
	    "echo.events (not set) -> MESSAGE_CREATE TYPING_START (roll)\n", 0);
	expect(TOKEN POOL, TOKEN "pool \"echo\" { handler = echo events = {} workers = 3 }\n",
	    "echo.workers 1 -> 3 (live)\necho.events (not set) -> {} (roll)\n", 0);
}

static void
secrets_are_compared_not_shown(void **state)
{
	(void)state;
	expect("token = \"secret.one\"\n" POOL, "token = \"secret.two\"\n" POOL,
	    "token (set) -> (set) (start)\n", 1);
	expect(TOKEN CHAT MODEL("a", ""), TOKEN CHAT MODEL("a", "api_key = \"secret\" "),
	    "a.api_key (not set) -> (set) (roll)\n", 0);
	expect(TOKEN CHAT MODEL("a", "api_key = \"secret\" "), TOKEN CHAT MODEL("a", "api_key = \"secret2\" "),
	    "a.api_key (set) -> (set) (roll)\n", 0);
	expect(TOKEN "pool \"x\" { handler = \"exec:/bin/true\" events = { MESSAGE_CREATE } env = { \"K=secret\" } }",
	    TOKEN "pool \"x\" { handler = \"exec:/bin/true\" events = { MESSAGE_CREATE } env = { \"K=secret2\" } }",
	    "x.env (not shown) -> (not shown) (roll)\n", 0);
}

static void
sections_come_and_go(void **state)
{
	(void)state;
	expect(TOKEN POOL "pool \"old\" { handler = echo }", TOKEN "pool \"new\" { handler = echo workers = 2 }" POOL,
	    "old removed\nnew added\n", 0);
	expect(TOKEN "pool \"a\" { handler = echo }" "pool \"b\" { handler = echo }",
	    TOKEN "pool \"c\" { handler = echo }", "a removed\nb removed\nc added\n", 0);
	expect(TOKEN CHAT MODEL("a", ""), TOKEN CHAT MODEL("b", ""),
	    "a removed\nb added\nmodel (the first: a) -> (the first: b) (roll)\n", 0);
	expect(TOKEN CHAT MODEL("a", "") MODEL("b", "") "chat { model = a }\n",
	    TOKEN CHAT MODEL("a", "") MODEL("b", "") "chat { model = b stop_words = {} }\n",
	    "model a -> b (roll)\nstop_words stop -> {} (roll)\n", 0);
}

/* What is running stays what `show config` says, with the addresses that others hold. */
static void
what_needs_a_start_stays(void **state)
{
	struct cfg	*now = parse(TOKEN POOL "compress = none\npool \"p\" { handler = echo workers = 2 }");
	struct cfg	*next = parse("token = \"another\"\ncompress = zlib\ndrain = 7\n"
	    "pool \"p\" { handler = \"exec:/bin/true\" events = { TYPING_START } workers = 4 }"
	    "pool \"q\" { handler = echo }");
	const char	*compress = now->compress, *token = now->token, *url = now->api_url;

	(void)state;
	cfgdiff_take(now, next);
	cfg_unload(&next);
	assert_ptr_equal(now->compress, compress);
	assert_ptr_equal(now->token, token);
	assert_ptr_equal(now->api_url, url);
	assert_string_equal(compress, "none");
	assert_string_equal(token, "abc.def");
	assert_int_equal(now->drain_ms, 7000);
	assert_int_equal(now->pools_n, 2);
	assert_string_equal(now->pools[0].name, "p");
	assert_string_equal(now->pools[0].handler, "echo");
	assert_int_equal(now->pools[0].workers, 4);
	assert_string_equal(now->pools[1].name, "q");
	cfg_unload(&now);
}

/* A value of a kilobyte, or with a newline in it, is no page of log. */
static void
long_values_are_cut(void **state)
{
	struct cfg	*now, *next;
	struct cfgdiff	 d;
	char		 text[4096], prompt[2048];

	(void)state;
	memset(prompt, 'x', sizeof(prompt) - 1);
	prompt[sizeof(prompt) - 1] = '\0';
	prompt[3] = '\n';
	now = parse(TOKEN CHAT MODEL("a", ""));
	snprintf(text, sizeof(text), "%schat { system_prompt = '%s' }\n", TOKEN CHAT MODEL("a", ""), prompt);
	next = parse(text);
	cfgdiff_make(now, next, &d);
	assert_int_equal(d.n, 1);
	assert_int_equal(strlen(d.rows[0].to), 64 + 3);
	assert_null(strchr(d.rows[0].to, '\n'));
	cfgdiff_fini(&d);
	cfg_unload(&now);
	cfg_unload(&next);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(origins_follow_the_file),
		cmocka_unit_test(nothing),
		cmocka_unit_test(each_kind_of_option),
		cmocka_unit_test(secrets_are_compared_not_shown),
		cmocka_unit_test(sections_come_and_go),
		cmocka_unit_test(what_needs_a_start_stays),
		cmocka_unit_test(long_values_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
