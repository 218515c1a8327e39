/*
 * cfg: what the file may say and what each mistake is called, by file and line; the struct
 * that comes of it; the child that reads it, well and badly.
 *
 * The test is its own configuration child: cfg_load runs it again with -x config.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "common/cfg.h"
#include "common/msg.h"

static char	 dir[] = "/tmp/bulkhead-cfg.XXXXXX";
static char	 conf[64], token_file[64];

#define NO_TOKEN "b.conf: neither \"token\" nor \"token_file\" is set, and no credential of systemd is here:" \
	" bulkheadd -n --no-gateway checks the rest"
#define TOKEN	"token = \"abc.def\"\n"
#define MODEL	"model \"a\" { base_url = \"https://example.com/v1/\" name = m }\n"
#define POOL	"pool \"echo\" { handler = \"echo\" }\n"

static void
put_file(const char *path, const char *text, size_t n)
{
	FILE	*f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(conf, sizeof(conf), "%s/b.conf", dir);
	(void)snprintf(token_file, sizeof(token_file), "%s/token", dir);
	(void)setenv("CFG_TEST_TOKEN", "from.env", 1);
	(void)setenv("CFG_TEST_EMPTY", "", 1);
	(void)unsetenv("CFG_TEST_NONE");
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlink(conf);
	(void)unlink(token_file);
	return rmdir(dir);
}

/* All complaints, each without the directory, joined by newlines; "" when it is good. */
static char *
complaints(const char *text, size_t n, bool need_token)
{
	struct buf		 out = { 0 }, all = { 0 };
	struct msg_list_iter	 it;
	struct msg_in		 in;
	struct span		 s;
	msgpack_zone		 zone;
	char			*joined;
	int			 rv;

	put_file(conf, text, n);
	rv = cfg_check_file(conf, need_token, &out);
	assert_true(msgpack_zone_init(&zone, 64));
	assert_int_equal(msg_unpack(buf_span(&out), &zone, &in), 0);
	assert_int_equal(in.type, rv == 0 ? MSG_CONFIG : MSG_CONFIG_BAD);
	if (rv == -1) {
		it = (struct msg_list_iter){ in.CONFIG_BAD.errors.raw, 0 };
		while (msg_list_more(&it)) {
			assert_true(msg_list_next_str(&it, &s));
			assert_true(s.n > strlen(dir) + 1);
			assert_memory_equal(s.p, dir, strlen(dir));
			if (all.n > 0)
				buf_add(&all, "\n", 1);
			buf_add(&all, s.p + strlen(dir) + 1, s.n - strlen(dir) - 1);
		}
		assert_true(all.n > 0);
	}
	joined = mem_spandup(buf_span(&all));
	msgpack_zone_destroy(&zone);
	buf_fini(&all);
	buf_fini(&out);
	return joined;
}

static void
expect_bad(const char *text, const char *want)
{
	char	*got = complaints(text, strlen(text), true);

	if (strcmp(got, want) != 0)
		fail_msg("---\n%s--- says\n%s\n--- and not\n%s", text, got, want);
	free(got);
}

static struct cfg *
expect_good(const char *text, bool need_token)
{
	struct buf	 out = { 0 };
	struct cfg	*cfg;
	const char	*why = NULL;
	char		*got = complaints(text, strlen(text), need_token);

	if (*got != '\0')
		fail_msg("---\n%s--- says\n%s", text, got);
	free(got);
	assert_int_equal(cfg_check_file(conf, need_token, &out), 0);
	cfg = cfg_of_frame(buf_span(&out), &why);
	if (cfg == NULL)
		fail_msg("%s", why);
	buf_fini(&out);
	return cfg;
}

static void
defaults(void **state)
{
	struct cfg	*c = expect_good(TOKEN POOL, true);

	(void)state;
	assert_string_equal(c->token, "abc.def");
	assert_null(c->token_file);
	assert_null(c->ca_file);
	assert_string_equal(c->api_url, "https://discord.com/api/v10");
	assert_string_equal(c->runtime_dir, "/run/bulkhead");
	assert_string_equal(c->compress, "zlib");
	assert_true(c->content);
	assert_false(c->intents.set);
	assert_int_equal(c->journal_bytes, 64 << 20);
	assert_int_equal(c->drain_ms, 20000);
	assert_int_equal(c->poison, 3);
	assert_int_equal(c->pools_n, 1);
	assert_string_equal(c->pools[0].name, "echo");
	assert_string_equal(c->pools[0].handler, "echo");
	assert_int_equal(c->pools[0].workers, 1);
	assert_int_equal(c->pools[0].credit, 0);
	assert_int_equal(c->pools[0].credit_bytes_bytes, 64 << 20);
	assert_false(c->pools[0].events.set);
	assert_string_equal(cfg_pool_role(&c->pools[0])->name, "echo");
	assert_true(cfg_pool_wants(&c->pools[0], "MESSAGE_CREATE"));
	assert_false(cfg_pool_wants(&c->pools[0], "MESSAGE_CREAT"));
	assert_false(cfg_pool_wants(&c->pools[0], "MESSAGE_UPDATE"));
	/* GUILD_MESSAGES, DIRECT_MESSAGES, MESSAGE_CONTENT */
	assert_int_equal(c->intents_bits, 1 << 9 | 1 << 12 | 1 << 15);
	assert_true(c->hash != 0);
	cfg_unload(&c);
	assert_null(c);
	cfg_unload(&c);
}

static void
everything_set(void **state)
{
	struct cfg	*c = expect_good(
	    "# a comment with \"quotes\" and ${NOTHING}\n"
	    "token = \"${CFG_TEST_TOKEN}\"	// another\n"
	    "/* a long\n   one = { */ api_url = 'http://127.0.0.1:8080/api/v10/'\n"
	    "user_agent_url = \"https://example.com/bot\"\n"
	    "intents = { \"GUILDS\", GUILD_MESSAGES, }\n"
	    "intents += DIRECT_MESSAGES\n"
	    "content = off\ncompress = none\nruntime_dir = /dev/shm/b/\n"
	    "journal = 128K\nlog_level = debug\n"
	    "drain = 0.5\nlast_word=0\nhang = \"1.25\" rest_per_second = 7\n"
	    "pool one {\n\thandler = echo\n\tworkers = 3\n\tcredit = 12 credit_bytes = 1G\n"
	    "\tevents = { MESSAGE_UPDATE, \"INTERACTION_CREATE\" }\n}\n"
	    "pool \"two-2_\" { handler = 'echo' events = {} }\n", true);

	(void)state;
	assert_string_equal(c->token, "from.env");
	assert_string_equal(c->api_url, "http://127.0.0.1:8080/api/v10");
	assert_string_equal(c->user_agent_url, "https://example.com/bot");
	assert_true(c->intents.set);
	assert_int_equal(c->intents.n, 3);
	assert_int_equal(c->intents_bits, 1 << 0 | 1 << 9 | 1 << 12);
	assert_false(c->content);
	assert_string_equal(c->compress, "none");
	assert_string_equal(c->runtime_dir, "/dev/shm/b");
	assert_int_equal(c->journal_bytes, 128 << 10);
	assert_string_equal(c->log_level, "debug");
	assert_int_equal(c->drain_ms, 500);
	assert_int_equal(c->last_word_ms, 0);
	assert_int_equal(c->hang_ms, 1250);
	assert_int_equal(c->rest_per_second, 7);
	assert_int_equal(c->pools_n, 2);
	assert_string_equal(c->pools[0].name, "one");
	assert_int_equal(c->pools[0].workers, 3);
	assert_int_equal(c->pools[0].credit, 12);
	assert_int_equal(c->pools[0].credit_bytes_bytes, 1 << 30);
	assert_true(c->pools[0].events.set);
	assert_true(cfg_pool_wants(&c->pools[0], "INTERACTION_CREATE"));
	assert_false(cfg_pool_wants(&c->pools[0], "MESSAGE_CREATE"));
	assert_string_equal(c->pools[1].name, "two-2_");
	assert_true(c->pools[1].events.set);
	assert_int_equal(c->pools[1].events.n, 0);
	assert_false(cfg_pool_wants(&c->pools[1], "MESSAGE_CREATE"));
	cfg_unload(&c);
}

static void
intents_follow_the_events(void **state)
{
	struct cfg	*c;

	(void)state;
	c = expect_good(TOKEN "content = false\n" POOL, true);
	assert_int_equal(c->intents_bits, 1 << 9 | 1 << 12);
	cfg_unload(&c);
	/* Reactions and deletes carry no text: the privileged intent is not asked for. */
	c = expect_good(TOKEN "pool \"a\" { handler = echo events = { MESSAGE_REACTION_ADD } }\n"
	    "pool \"b\" { handler = echo events = { MESSAGE_DELETE_BULK, TYPING_START } }", true);
	assert_int_equal(c->intents_bits, 1 << 10 | 1 << 13 | 1 << 9 | 1 << 11 | 1 << 14);
	cfg_unload(&c);
	c = expect_good(TOKEN "intents = auto\npool \"a\" { handler = echo events = { INTERACTION_CREATE } }",
	    true);
	assert_int_equal(c->intents_bits, 0);
	assert_false(c->intents.set);
	cfg_unload(&c);
	c = expect_good(TOKEN "pool \"a\" { handler = echo events = { MESSAGE_UPDATE } }", true);
	assert_int_equal(c->intents_bits, 1 << 9 | 1 << 12 | 1 << 15);
	cfg_unload(&c);
}

static void
the_hash_is_of_all_but_secrets(void **state)
{
	static const char *const	 same[] = {
		TOKEN POOL, "token = \"another\"\n" POOL, "# comment\n" POOL "drain = 20\n" TOKEN,
		"token = \"${CFG_TEST_TOKEN}\"\ndrain = 20.000\n" POOL
	};
	static const char *const	 others[] = {
		TOKEN POOL "drain = 21\n", TOKEN POOL "content = no\n", TOKEN POOL "compress = none\n",
		TOKEN POOL "pool \"b\" { handler = echo }", TOKEN "pool \"ech\" { handler = echo }",
		TOKEN "pool \"echo\" { handler = echo events = { MESSAGE_CREATE } }",
		TOKEN "pool \"echo\" { handler = echo events = { MESSAGE_UPDATE } }",
	};
	struct cfg	*c;
	uint64_t	 first = 0, seen[8];
	size_t		 i, j;

	(void)state;
	for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		c = expect_good(same[i], true);
		if (i == 0)
			first = c->hash;
		assert_true(c->hash == first);
		cfg_unload(&c);
	}
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		c = expect_good(others[i], true);
		seen[i] = c->hash;
		assert_true(c->hash != first);
		for (j = 0; j < i; j++)
			assert_true(seen[j] != seen[i]);
		cfg_unload(&c);
	}
}

static const struct { const char *text, *want; } mistakes[] = {
	/* names */
	{ TOKEN "pool \"echo\" {\n  handler = echo\n  worker = 2\n}\n",
	  "b.conf:4: unknown option \"worker\" in pool \"echo\"; did you mean \"workers\"?" },
	{ TOKEN "drian = 5\nlog_levle = info\n" POOL,
	  "b.conf:2: unknown option \"drian\"; did you mean \"drain\"?\n"
	  "b.conf:3: unknown option \"log_levle\"; did you mean \"log_level\"?" },
	{ TOKEN "zzzzzzzzzz = 5\n" POOL, "b.conf:2: unknown option \"zzzzzzzzzz\"" },
	{ TOKEN "workers = 5\n" POOL, "b.conf:2: \"workers\" belongs inside pool \"name\" { }" },
	{ TOKEN "pool \"a\" { handler = echo drain = 3 }", "b.conf:2: \"drain\" belongs outside of the sections" },
	{ TOKEN "garden {\n a = b { }\n c = {1} }\nfurnace \"x\" { }\n" POOL,
	  "b.conf:2: unknown section \"garden\"\nb.conf:5: unknown section \"furnace\"" },
	{ TOKEN "pol \"x\" { handler = echo }\n", "b.conf:2: unknown section \"pol\"; did you mean \"pool\"?" },
	{ TOKEN "pool \"a\" { handler = echo pool \"b\" { } }", "b.conf:2: a pool inside a pool" },
	/* repeated */
	{ TOKEN "drain = 1\n\ndrain = 2\n" POOL, "b.conf:4: \"drain\" is set twice, first in line 2" },
	{ TOKEN "/* one\n\n\n*/ drain = 1\n// two\ndrain = 2\n" POOL,
	  "b.conf:7: \"drain\" is set twice, first in line 5" },
	{ TOKEN "pool \"a\" { handler = echo\nhandler = echo }",
	  "b.conf:3: \"handler\" in pool \"a\" is set twice, first in line 2" },
	{ TOKEN "intents = auto\nintents = auto\n" POOL, "b.conf:3: \"intents\" is set twice, first in line 2" },
	{ TOKEN "pool \"c\" { handler = chat }", "b.conf: a pool has the handler chat, and there is no"
	    " model \"name\" { base_url = ... name = ... }" },
	{ TOKEN POOL "model { }", "b.conf:3: a model without a name" },
	{ TOKEN POOL "chat \"x\" { }", "b.conf:3: chat has no name" },
	{ TOKEN POOL "chat { }\nchat { }", "b.conf:4: chat stands twice, first in line 3" },
	{ TOKEN POOL "chat { modell = \"a\" }", "b.conf:3: unknown option \"modell\" in chat;"
	    " did you mean \"model\"?" },
	{ TOKEN POOL "chat { model = \"b\" }\n" MODEL, "b.conf: \"model\" in chat is \"b\", and there is"
	    " no model \"b\" { }" },
	{ TOKEN POOL "chat { bots = some }", "b.conf:3: \"bots\" in chat is none of none, mentions, all:"
	    " \"some\"" },
	{ TOKEN POOL "chat { free_channels = { general } }", "b.conf:3: \"free_channels\" in chat holds"
	    " \"general\", which is not the id of a channel" },
	{ TOKEN POOL "chat {\n pool \"x\" { }\n}", "b.conf:4: a pool inside a chat" },
	{ TOKEN POOL "chat {\n", "b.conf:3: the chat that begins here is not closed with \"}\"" },
	{ TOKEN POOL "base_url = \"http://[::1]:1\"", "b.conf:3: \"base_url\" belongs inside model"
	    " \"name\" { }" },
	{ TOKEN POOL MODEL MODEL, "b.conf:4: model \"a\" stands twice, first in line 3" },
	{ TOKEN POOL "model \"A\" { base_url = \"https://a\" name = m }", "b.conf:3: model name \"A\": a name"
	    " is made of a-z, 0-9, _ and -" },
	{ TOKEN POOL "model \"a\" { name = m }", "b.conf:3: \"base_url\" in model \"a\" is missing" },
	{ TOKEN POOL "model \"a\" { base_url = \"https://a\" }", "b.conf:3: \"name\" in model \"a\" is"
	    " missing" },
	{ TOKEN POOL "model \"a\" { name = m base_url = \"http://example.com/v1\" }", "b.conf:3: \"base_url\""
	    " in model \"a\" is http: only a loopback address may be, all else needs https:"
	    " \"http://example.com/v1\"" },
	{ TOKEN POOL "model \"a\" { name = m base_url = \"https://a\" api_key = k"
	    " api_key_file = \"/dev/null\" }", "b.conf:3: \"api_key\" and \"api_key_file\" of"
	    " model \"a\" are both set; keep one" },
	{ TOKEN POOL "model \"a\" { name = m base_url = \"https://a\" api_key_file = \"/nonexistent/k\" }",
	    "b.conf:3: \"api_key_file\" cannot be read: /nonexistent/k: No such file or directory" },
	{ TOKEN POOL "model \"a\" { name = m base_url = \"https://a\" api_key_file = \"/dev/null\" }",
	    "b.conf:3: \"api_key_file\" is empty in its first line: /dev/null" },
	{ TOKEN POOL "model \"a\" { name = m base_url = \"https://a\" query = \"?a=b\" }", "b.conf:3:"
	    " \"query\" in model \"a\" is no query such as a=b&c=d: \"?a=b\"" },
	{ TOKEN POOL "model \"a\" { name = m base_url = \"https://a\" fallback = a }", "b.conf:3:"
	    " \"fallback\" in model \"a\" is that model itself" },
	{ TOKEN POOL "model \"a\" { name = m base_url = \"https://a\" fallback = b }", "b.conf:3:"
	    " \"fallback\" in model \"a\" is \"b\", and there is no model \"b\" { }" },
	{ TOKEN POOL "model \"a\" { name = m base_url = \"https://a\" headers = { \"X-Title\" } }",
	    "b.conf:3: \"headers\" in model \"a\" holds \"X-Title\", which is not \"Name: value\" of"
	    " at most 512 bytes" },
	{ TOKEN POOL "model \"a\" { name = m base_url = \"https://a\" headers = { \"X: a\\nHost: b\" } }",
	    "b.conf:3: \"headers\" in model \"a\" holds \"X: a?Host: b\", which is not \"Name: value\""
	    " of at most 512 bytes" },
	{ TOKEN POOL "model \"a\" { name = m base_url = \"https://a\" headers = { \"authorization: x\" } }",
	    "b.conf:3: \"headers\" in model \"a\": authorization is not yours to set; a key belongs into"
	    " api_key" },
	{ TOKEN POOL "model \"a\" { name = m base_url = \"https://a\" api_key = \"\" }", "b.conf:3: \"api_key\""
	    " in model \"a\" is empty" },
	{ TOKEN POOL "model \"a\" { name = m base_url = \"https://a\" temperature = 2.5 }", "b.conf:3:"
	    " \"temperature\" in model \"a\" is not a number from 0 to 2, as 0.7: \"2.5\"" },
	{ TOKEN POOL "model \"a\" { name = m base_url = \"https://a\" provider = openia }", "b.conf:3:"
	    " \"provider\" in model \"a\" is neither auto nor a row of providers.def: \"openia\"" },
	{ TOKEN POOL POOL, "b.conf:3: pool \"echo\" stands twice, first in line 2" },
	/* shape */
	{ TOKEN "drain 5\n" POOL, "b.conf:2: \"=\" is missing after \"drain\"" },
	{ TOKEN "drain =\n", "b.conf:3: a value is missing" },
	{ TOKEN "drain = = 5\n", "b.conf:2: a value is missing" },
	{ TOKEN "= 5\n", "b.conf:2: the name of an option is missing" },
	{ TOKEN "\"drain\" = 5\n", "b.conf:2: the name of an option is missing" },
	{ TOKEN "}\n", "b.conf:2: \"}\" without \"{\"" },
	{ TOKEN "pool \"a\" {\n handler = echo\n", "b.conf:2: the pool that begins here is not closed with \"}\"" },
	{ TOKEN "pool { handler = echo }\n", "b.conf:2: a pool without a name" },
	{ TOKEN "drain = { 5 }\n" POOL, "b.conf:2: \"drain\" takes one value, not a list" },
	{ TOKEN "drain += 5\n" POOL, "b.conf:2: \"drain\" takes one value, not a list" },
	{ TOKEN "intents = { GUILDS GUILDS }\n", "b.conf:2: \",\" or \"}\" is missing in a list" },
	{ TOKEN "intents = { , }\n", "b.conf:2: a value of the list is missing" },
	{ TOKEN "intents = { GUILDS,\n", "b.conf:3: a value of the list is missing" },
	{ TOKEN "drain = 5 6\n" POOL, "b.conf:2: \"=\" is missing after \"6\"" },
	{ TOKEN "drain = +5\n" POOL, "b.conf:2: a character that needs quotes" },
	{ TOKEN "api_url = https://discord.com\n" POOL, "b.conf:2: a character that needs quotes" },
	{ TOKEN "compress = zl(ib)\n" POOL, "b.conf:2: a character that needs quotes" },
	{ TOKEN "log_level = \"info\n" POOL, "b.conf:3: a character that needs quotes" },
	{ "token = \"abc\n\n", "b.conf:1: a quoted text that begins here never ends" },
	{ TOKEN "/* x\n\n" POOL, "b.conf:2: a comment that begins here never ends" },
	{ "token = \"a\\x00b\"\n" POOL, "b.conf:1: an escape that is not supported; write the character itself" },
	{ "token = \"a\\0\"\n" POOL, "b.conf:1: an escape that is not supported; write the character itself" },
	{ "include(\"/etc/passwd\")\n", "b.conf:1: a character that needs quotes" },
	/* variables */
	{ "token = \"${CFG_TEST_NONE}\"\n" POOL,
	  "b.conf:1: the environment has no variable \"CFG_TEST_NONE\"" },
	{ "token = ${CFG_TEST_NONE}\n" POOL,
	  "b.conf:1: the environment has no variable \"CFG_TEST_NONE\"" },
	{ TOKEN "pool \"a\" { handler = \"${CFG_TEST_NONE}echo\" }",
	  "b.conf:2: the environment has no variable \"CFG_TEST_NONE\"" },
	{ "token = \"${CFG_TEST_EMPTY}\"\n" POOL, "b.conf:1: \"token\" is empty" },
	{ "token = \"${}\"\n" POOL, "b.conf:1: \"${\" is not followed by a name and \"}\"" },
	{ "token = \"${1A}\"\n" POOL, "b.conf:1: \"${\" is not followed by a name and \"}\"" },
	{ "token = \"${A\"\n# }\n" POOL, "b.conf:1: \"${\" is not followed by a name and \"}\"" },
	{ "token = ${A", "b.conf:1: \"${\" is not followed by a name and \"}\"" },
	{ "token = ${CFG_TEST_TOKEN}x\n" POOL, "b.conf:1: a value of several parts needs quotes" },
	/* token */
	{ POOL, NO_TOKEN },
	{ "token = \"\"\n" POOL, "b.conf:1: \"token\" is empty" },
	{ "token = \"Bot abc\"\n" POOL,
	  "b.conf:1: \"token\" begins with \"Bot\": the token is what stands behind it" },
	{ "token = \"b abc\"\n" POOL,
	  "b.conf:1: \"token\" has a space, a control character or a letter outside ASCII" },
	{ "token = \"abc\ndef\"\n" POOL,
	  "b.conf:1: \"token\" has a space, a control character or a letter outside ASCII" },
	{ TOKEN "token_file = \"/nonexistent\"\n" POOL,
	  "b.conf:2: \"token\" and \"token_file\" are both set; keep one" },
	{ "token_file = \"/nonexistent/t\"\n" POOL,
	  "b.conf:1: \"token_file\" cannot be read: /nonexistent/t: No such file or directory" },
	{ "token_file = \"tok\"\n" POOL, "b.conf:1: \"token_file\" is not an absolute path: \"tok\"" },
	{ "token_file = \"/dev/null\"\n" POOL, "b.conf:1: \"token_file\" is empty in its first line: /dev/null" },
	/* values */
	{ TOKEN "drain = soon\n" POOL, "b.conf:2: \"drain\" is \"soon\", not a number of seconds such as 20 or 0.5" },
	{ TOKEN "drain = 5s\n" POOL, "b.conf:2: \"drain\" is \"5s\", not a number of seconds such as 20 or 0.5" },
	{ TOKEN "drain = -1\n" POOL, "b.conf:2: \"drain\" is \"-1\", not a number of seconds such as 20 or 0.5" },
	{ TOKEN "drain = 1.\n" POOL, "b.conf:2: \"drain\" is \"1.\", not a number of seconds such as 20 or 0.5" },
	{ TOKEN "drain = 0.0005\n" POOL,
	  "b.conf:2: \"drain\" is \"0.0005\", not a number of seconds such as 20 or 0.5" },
	{ TOKEN "drain = 99999999999999999999\n" POOL,
	  "b.conf:2: \"drain\" is \"99999999999999999999\", not a number of seconds such as 20 or 0.5" },
	{ TOKEN "drain = 3600.001\n" POOL, "b.conf:2: \"drain\" is 3600.001, at most 3600" },
	{ TOKEN "hang = 0.1\n" POOL, "b.conf:2: \"hang\" is 0.1, at least 0.5" },
	{ TOKEN "hang = \"\"\n" POOL, "b.conf:2: \"hang\" is \"\", not a number of seconds such as 20 or 0.5" },
	{ TOKEN "poison = 1.5\n" POOL, "b.conf:2: \"poison\" is \"1.5\", not a whole number" },
	{ TOKEN "poison = 0\n" POOL, "b.conf:2: \"poison\" is 0, at least 1" },
	{ TOKEN "journal = 64T\n" POOL,
	  "b.conf:2: \"journal\" is \"64T\", not a number of bytes such as 65536, 64K or 1G" },
	{ TOKEN "journal = 64MB\n" POOL,
	  "b.conf:2: \"journal\" is \"64MB\", not a number of bytes such as 65536, 64K or 1G" },
	{ TOKEN "journal = 18446744073709551615G\n" POOL,
	  "b.conf:2: \"journal\" is \"18446744073709551615G\", not a number of bytes such as 65536, 64K or 1G" },
	{ TOKEN "journal = 5G\n" POOL, "b.conf:2: \"journal\" is 5G, at most 4G" },
	{ TOKEN "journal = 1\n" POOL, "b.conf:2: \"journal\" is 1, at least 64K" },
	{ TOKEN "content = maybe\n" POOL, "b.conf:2: \"content\" is \"maybe\", not true or false" },
	{ TOKEN "compress = gzip\n" POOL, "b.conf:2: \"compress\" is none of zlib, zstd, none: \"gzip\"" },
	{ TOKEN "log_level = loud\n" POOL,
	  "b.conf:2: \"log_level\" is none of debug, info, notice, warning, err: \"loud\"" },
	{ TOKEN "runtime_dir = \"run\"\n" POOL, "b.conf:2: \"runtime_dir\" is not an absolute path: \"run\"" },
	{ TOKEN "runtime_dir = \"\"\n" POOL, "b.conf:2: \"runtime_dir\" is empty" },
	{ TOKEN "runtime_dir = \"/a\tb\"\n" POOL, "b.conf:2: \"runtime_dir\" has a control character" },
	{ TOKEN "ca_file = \"/nonexistent\"\n" POOL,
	  "b.conf:2: \"ca_file\" cannot be read: /nonexistent: No such file or directory" },
	/* pools */
	{ TOKEN, "b.conf: no pool: at least one pool \"name\" { handler = ... } is needed" },
	{ TOKEN "\npool \"a\" { }\n", "b.conf:3: \"handler\" in pool \"a\" is missing" },
	{ TOKEN "pool \"A\" { handler = echo }\n", "b.conf:2: pool name \"A\": a name is made of a-z, 0-9, _ and -" },
	{ TOKEN "pool \"\" { handler = echo }\n", "b.conf:2: pool name \"\": a name has 1 to 32 characters" },
	{ TOKEN "pool \"a23456789012345678901234567890123\" { handler = echo }\n",
	  "b.conf:2: pool name \"a23456789012345678901234567890123\": a name has 1 to 32 characters" },
	{ TOKEN "pool \"rest\" { handler = echo }\n",
	  "b.conf:2: pool name \"rest\": a name is not one that the supervisor uses itself" },
	{ TOKEN "pool \"a\" { handler = rest }\n",
	  "b.conf:2: handler \"rest\" in pool \"a\": its pool is made by the supervisor itself" },
	{ TOKEN "pool \"a\" { handler = ecko }\n", "b.conf:2: unknown handler \"ecko\" in pool \"a\"; built in: chat echo" },
	{ TOKEN "pool \"a\" {\n handler = \"exec:/nonexistent/bot -v\"\nevents = { } }\n",
	  "b.conf:3: handler in pool \"a\": /nonexistent/bot cannot be run: No such file or directory" },
	{ TOKEN "pool \"a\" { handler = \"exec:/usr/bin/env\" }\n",
	  "b.conf:2: \"events\" in pool \"a\" is missing: with a handler \"exec:...\" it names what the program gets,"
	  " { } for nothing" },
	{ TOKEN "pool \"a\" { handler = \"exec:/usr\"\nevents = { } }\n",
	  "b.conf:2: handler in pool \"a\": /usr cannot be run: it is a directory" },
	{ TOKEN "pool \"a\" { handler = \"exec:/dev/null\"\nevents = { } }\n",
	  "b.conf:2: handler in pool \"a\": /dev/null cannot be run: it is not a file" },
	{ TOKEN "pool \"a\" { handler = \"exec:/etc/passwd\"\nevents = { } }\n",
	  "b.conf:2: handler in pool \"a\": /etc/passwd cannot be run: it is not executable (chmod +x)" },
	{ TOKEN "pool \"a\" { handler = \"exec:bot\" events = { } }\n",
	  "b.conf:2: handler \"exec:bot\" in pool \"a\": exec: wants the absolute path of a program" },
	{ TOKEN "pool \"a\" { handler = \"exec: \" events = { } }\n",
	  "b.conf:2: handler \"exec: \" in pool \"a\": exec: wants the absolute path of a program" },
	{ TOKEN "pool \"a\" { handler = \"exec:/usr/bin/env 'x\" events = { } }\n",
	  "b.conf:2: handler \"exec:/usr/bin/env 'x\" in pool \"a\" has a ' that is not closed" },
	{ TOKEN "pool \"a\" { handler = echo\nenv = { \"A=1\" } }\n",
	  "b.conf:3: \"env\" in pool \"a\" is for handlers \"exec:...\"; what is built in has its own options" },
	{ TOKEN "pool \"a\" { handler = \"exec:/usr/bin/env\" events = { }\nenv = { \"hush\" } }\n",
	  "b.conf:3: \"env\" in pool \"a\" holds a word that is not NAME=value" },
	{ TOKEN "pool \"a\" { handler = \"exec:/usr/bin/env\" events = { }\nenv = { \"1A=hush\" } }\n",
	  "b.conf:3: \"env\" in pool \"a\" holds a word that is not NAME=value" },
	{ TOKEN "pool \"a\" { handler = \"exec:/usr/bin/env\" events = { }\nenv = { \"A=hush\", \"A=quiet\" } }\n",
	  "b.conf:3: \"env\" in pool \"a\" names A twice" },
	{ TOKEN "pool \"a\" { handler = \"exec:/usr/bin/env\" events = { }\nenv = { \"A=hush\x01\" } }\n",
	  "b.conf:3: \"env\" in pool \"a\": A has a control character" },
	{ TOKEN "pool \"a\" {\nhandler = echo\nworkers = 0\nworkers = 300 }\n",
	  "b.conf:5: \"workers\" in pool \"a\" is set twice, first in line 4\n"
	  "b.conf:5: \"workers\" in pool \"a\" is 300, at most 256" },
	/* words */
	{ TOKEN "pool \"a\" { handler = echo\nevents = { MESSAGE_CREAT, typing_start, NOPE_NOPE_NOPE } }\n",
	  "b.conf:3: unknown event \"MESSAGE_CREAT\" in pool \"a\"; did you mean \"MESSAGE_CREATE\"?\n"
	  "b.conf:3: unknown event \"typing_start\" in pool \"a\"; did you mean \"TYPING_START\"?\n"
	  "b.conf:3: unknown event \"NOPE_NOPE_NOPE\" in pool \"a\"" },
	{ TOKEN "pool \"a\" { handler = echo events = { TYPING_START, TYPING_START } }\n",
	  "b.conf:2: \"events\" in pool \"a\" names TYPING_START twice" },
	{ TOKEN "intents = { GUILD }\n" POOL, "b.conf:2: unknown intent \"GUILD\"; did you mean \"GUILDS\"?" },
	{ TOKEN "intents = {}\n" POOL, "b.conf:2: \"intents\" names 0, at least 1" },
	{ TOKEN "intents = { auto, GUILDS }\n" POOL, "b.conf:2: \"intents\": auto stands alone" },
	/* several at once, in the order of the file */
	{ "log_level = x\ndrain = y\n" POOL "poison = z\n",
	  "b.conf:1: \"log_level\" is none of debug, info, notice, warning, err: \"x\"\n"
	  "b.conf:2: \"drain\" is \"y\", not a number of seconds such as 20 or 0.5\n"
	  "b.conf:4: \"poison\" is \"z\", not a whole number\n"
	  NO_TOKEN },
};

static void
each_mistake_has_its_sentence(void **state)
{
	size_t	 i;

	(void)state;
	for (i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++)
		expect_bad(mistakes[i].text, mistakes[i].want);
}

static void
urls(void **state)
{
	static const char *const	 good[] = {
		"https://discord.com/api/v10", "https://discord.com", "https://a-b.example:8443/x",
		"https://[2001:db8::1]:443/api", "http://127.0.0.1/api", "http://127.9.9.9:1/api",
		"http://localhost:65535/api", "http://[::1]:8080/api",
	};
	static const struct { const char *url, *why; } bad[] = {
		{ "http://discord.com/api", "is http: only a loopback address may be, all else needs https" },
		{ "http://127.0.0.1.example.com/x", "is http: only a loopback address may be, all else needs https" },
		{ "http://128.0.0.1/", "is http: only a loopback address may be, all else needs https" },
		{ "http://[::2]/", "is http: only a loopback address may be, all else needs https" },
		{ "ftp://discord.com/api", "does not begin with https://" },
		{ "discord.com/api/v10", "does not begin with https://" },
		{ "https://user@discord.com/", "has a user or a password" },
		{ "http://127.0.0.1@discord.com/", "has a user or a password" },
		{ "https://discord.com/api?x=1", "has a query or a fragment" },
		{ "https://discord.com/api#x", "has a query or a fragment" },
		{ "https://discord.com/a b", "has a space, a control character or a letter outside ASCII" },
		{ "https:///api", "has no valid host" },
		{ "https://:80/api", "has no valid host" },
		{ "https://[::1/api", "has no valid host" },
		{ "https://[xyz]/api", "has no valid host" },
		{ "https://dis%41cord.com/", "has no valid host" },
		{ "https://discord.com:0/", "has no valid port" },
		{ "https://discord.com:65536/", "has no valid port" },
		{ "https://discord.com:/", "has no valid port" },
		{ "https://discord.com:80x/", "has no valid port" },
		{ "https://[::1]x/", "has no valid port" },
	};
	struct cfg	*c;
	char		 text[512], want[512];
	size_t		 i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		(void)snprintf(text, sizeof(text), TOKEN POOL "api_url = \"%s//\"\n", good[i]);
		c = expect_good(text, true);
		assert_string_equal(c->api_url, good[i]);
		cfg_unload(&c);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(text, sizeof(text), TOKEN POOL "api_url = \"%s\"\n", bad[i].url);
		(void)snprintf(want, sizeof(want), "b.conf:3: \"api_url\" %s: \"%s\"", bad[i].why, bad[i].url);
		expect_bad(text, want);
	}
}

static void
odd_files(void **state)
{
	static const char	 nul[] = TOKEN "drain = 5\0\n" POOL;
	char			*got, *big;
	struct buf		 out = { 0 };
	size_t			 i, n = (1 << 20) + 1;

	(void)state;
	got = complaints(nul, sizeof(nul) - 1, true);
	assert_string_equal(got, "b.conf:2: a NUL byte");
	free(got);
	big = mem_alloc(n);
	memset(big, '\n', n);
	got = complaints(big, n, true);
	assert_string_equal(got, "b.conf: larger than 1048576 bytes");
	free(got);
	/* As large as it may be; the pool stands in its last line. */
	memcpy(big, TOKEN, strlen(TOKEN));
	memcpy(big + n - 1 - strlen(POOL), POOL, strlen(POOL));
	got = complaints(big, n - 1, true);
	assert_string_equal(got, "");
	free(got);
	/* More complaints than fit: the last says how many. */
	n = 0;
	for (i = 0; i < 100; i++)
		n += (size_t)sprintf(big + n, "zzzzzzzzzz%zu = 1\n", i);
	got = complaints(big, n, true);
	assert_non_null(strstr(got, "b.conf:63: unknown option \"zzzzzzzzzz62\"\nb.conf: and 37 more errors"));
	free(got);
	free(big);
	/* CRLF, no newline at the end, bytes that are no text. */
	free(complaints("\xff\xfe", 2, true));
	got = complaints("token = abc\r\npool a {\r\n handler = echo }", 40, true);
	assert_string_equal(got, "");
	free(got);
	assert_int_equal(cfg_check_file("/nonexistent/b.conf", true, &out), -1);
	buf_fini(&out);
	assert_int_equal(cfg_check_file("/", true, &out), -1);
	buf_fini(&out);
}

/* Every prefix of a good file: never a crash, never an exit, nearly never good. */
static void
cut_anywhere(void **state)
{
	static const char	 text[] = "token = \"${CFG_TEST_TOKEN}\" /* c */ # d\n"
	    "intents = { GUILDS, 'DIRECT_MESSAGES' }\npool \"a\" {\n handler = echo\n events += TYPING_START }\n";
	char			*got;
	size_t			 i;

	(void)state;
	for (i = 0; i < sizeof(text) - 3; i++) {
		got = complaints(text, i, true);
		assert_string_not_equal(got, "");
		free(got);
	}
	got = complaints(text, sizeof(text) - 1, true);
	assert_string_equal(got, "");
	free(got);
}

static void
the_token_from_its_file(void **state)
{
	struct cfg	*c;
	char		 text[256];

	(void)state;
	(void)snprintf(text, sizeof(text), "token_file = \"%s\"\n" POOL, token_file);
	put_file(token_file, "first.line \r\nsecond\n", 20);
	c = expect_good(text, true);
	assert_string_equal(c->token, "first.line");
	assert_string_equal(c->token_file, token_file);
	assert_int_equal(c->token_origin.line, 1);
	cfg_unload(&c);
	put_file(token_file, "two words\n", 10);
	expect_bad(text, "b.conf:1: \"token\" from \"token_file\" has a space, a control character or a"
	    " letter outside ASCII");
	/* Without a gateway none is needed. */
	(void)unlink(token_file);
	c = expect_good(text, false);
	assert_null(c->token);
	cfg_unload(&c);
	c = expect_good(POOL, false);
	assert_null(c->token);
	cfg_unload(&c);
}

/* What systemd gives a service: LoadCredential=token:..., RuntimeDirectory=. */
static void
a_service_of_systemd(void **state)
{
	struct cfg	*c;
	char		*credential = mem_printf("%s/token", dir);
	char		*empty = mem_printf("b.conf: \"token_file\" is empty in its first line: %s",
	    credential);

	(void)state;
	put_file(credential, "from.systemd\n", 13);
	(void)setenv("CREDENTIALS_DIRECTORY", dir, 1);
	(void)setenv("RUNTIME_DIRECTORY", "/run/bulkhead-one:/run/other", 1);
	c = expect_good(POOL, true);
	assert_string_equal(c->token, "from.systemd");
	assert_string_equal(c->runtime_dir, "/run/bulkhead-one");
	assert_int_equal(c->token_origin.from, CFG_FROM_CREDENTIAL);
	assert_int_equal(c->runtime_dir_origin.from, CFG_FROM_ENVIRONMENT);
	cfg_unload(&c);
	/* The file knows better. */
	c = expect_good(TOKEN "runtime_dir = \"/run/mine\"\n" POOL, true);
	assert_string_not_equal(c->token, "from.systemd");
	assert_string_equal(c->runtime_dir, "/run/mine");
	cfg_unload(&c);
	put_file(credential, "\n", 1);
	expect_bad(POOL, empty);
	(void)unlink(credential);
	expect_bad(POOL, NO_TOKEN);
	(void)unsetenv("CREDENTIALS_DIRECTORY");
	(void)unsetenv("RUNTIME_DIRECTORY");
	free(credential);
	free(empty);
}

static void
models_and_chat(void **state)
{
	struct cfg	*c = expect_good(TOKEN "pool \"c\" { handler = chat }\n"
	    "chat {\n  model = local\n  system_prompt = \"one\\ntwo {bot}\"\n"
	    "  free_channels = { 1, 22 }\n  stop_words = { stop, halt }\n  merge_gap = 1.5\n}\n"
	    MODEL "model \"local\" { base_url = \"http://127.0.0.1:8080/v1/\" name = \"x y\""
	    " api_key = ${CFG_TEST_TOKEN} sees = yes temperature = 0.7"
	    " headers = { \"HTTP-Referer: https://example.com\", \"X-Title: a b\" } }", true);
	const struct cfg_model	*m;
	struct buf		 out = { 0 };
	char			 text[256];

	(void)state;
	assert_int_equal(c->models_n, 2);
	m = cfg_chat_model(c);
	assert_string_equal(m->title, "local");
	assert_string_equal(m->base_url, "http://127.0.0.1:8080/v1");
	assert_string_equal(m->name, "x y");
	assert_string_equal(m->api_key, "from.env");
	assert_true(m->sees && !m->thinks);
	assert_int_equal(m->headers.n, 2);
	assert_string_equal(m->headers.v[1], "X-Title: a b");
	assert_int_equal(m->total_ms, 600000);
	assert_string_equal(c->chat.system_prompt, "one\ntwo {bot}");
	assert_int_equal(c->chat.free_channels.n, 2);
	assert_string_equal(c->chat.free_channels.v[1], "22");
	/* The first word is the default's: still a list of two. */
	assert_int_equal(c->chat.stop_words.n, 2);
	assert_string_equal(c->chat.stop_words.v[0], "stop");
	assert_int_equal(c->chat.merge_gap_ms, 1500);
	assert_int_equal(c->chat.max_messages, 25);
	assert_true(cfg_pool_wants(&c->pools[0], "MESSAGE_REACTION_ADD"));
	cfg_json(c, "b.conf", &out);
	assert_null(memmem(buf_span(&out).p, buf_span(&out).n, "from.env", 8));
	buf_fini(&out);
	cfg_unload(&c);

	put_file(token_file, "sk-file\nsecond\n", 15);
	(void)snprintf(text, sizeof(text), TOKEN "pool \"c\" { handler = chat }\n"
	    "model \"a\" { base_url = \"https://a\" name = m api_key_file = \"%s\" }\n", token_file);
	c = expect_good(text, true);
	assert_string_equal(cfg_chat_model(c)->api_key, "sk-file");
	cfg_unload(&c);

	c = expect_good(TOKEN MODEL "pool \"c\" { handler = chat }\n", true);
	assert_string_equal(cfg_chat_model(c)->title, "a");
	assert_int_equal(c->chat.stop_words.n, 1);
	assert_false(c->chat.stop_words.set);
	assert_non_null(strstr(c->chat.system_prompt, "{date}"));
	cfg_unload(&c);
	c = expect_good(TOKEN POOL, true);
	assert_null(cfg_chat_model(c));
	cfg_unload(&c);
}

/* A default of the table that its own checks refuse would be found at start only. */
static void
the_table_is_sound(void **state)
{
	const struct cfg_option	*o;
	size_t			 n, i, j;

	(void)state;
	o = cfg_options(&n);
	assert_true(n > 25);
	for (i = 0; i < n; i++) {
		assert_true(o[i].min <= o[i].max);
		assert_true(o[i].in < CFG_SCOPE__N);
		assert_string_equal(o[i].reload, o[i].when == CFG_LIVE ? "live" : o[i].when == CFG_ROLL ?
		    "roll" : "start");
		for (j = 0; j < i; j++)
			assert_true(o[i].in != o[j].in || strcmp(o[i].name, o[j].name) != 0);
	}
}

static struct cfg *
of_rows(const char *const (*rows)[4], size_t n, const char *origin, const char **why)
{
	struct buf		 list = { 0 }, out = { 0 };
	struct msg_CONFIG	 m;
	struct cfg		*c;
	size_t			 i, j;

	for (i = 0; i < n; i++) {
		for (j = 0; j < 4; j++)
			msg_list_str(&list, span_of(rows[i][j]));
		msg_list_str(&list, span_of(origin));
	}
	m.rows = msg_list_of(&list);
	assert_int_equal(msg_pack(&out, MSG_CONFIG, &m, NULL), 0);
	c = cfg_of_frame(buf_span(&out), why);
	buf_fini(&out);
	buf_fini(&list);
	return c;
}

static void
a_frame_is_checked_again(void **state)
{
	static const char *const	 rows[][2][4] = {
		{ { "global", "", "drain", "4000" }, { "pool", "a", "handler", "echo" } },
		{ { "global", "", "workers", "1" }, { "pool", "a", "handler", "echo" } },
		{ { "elsewhere", "", "drain", "1" }, { "pool", "a", "handler", "echo" } },
		{ { "global", "", "api_url", "http://example.com" }, { "pool", "a", "handler", "echo" } },
		{ { "pool", "a", "workers", "1" }, { "pool", "a", "events", "TYPING_START" } },
		{ { "pool", "a", "handler", "exec:x" }, { "pool", "a", "events", "" } },
		{ { "pool", "a", "handler", "exec:/x" }, { "pool", "a", "workers", "1" } },
		{ { "pool", "a", "handler", "echo" }, { "pool", "a", "env", "A=1" } },
		{ { "pool", "rest", "handler", "echo" }, { "pool", "rest", "workers", "1" } },
		{ { "pool", "a", "handler", "echo" }, { "pool", "a", "events", "NOPE" } },
		{ { "global", "", "drain", "1" }, { "env", "", "X", "" } },
	};
	static const char *const	 good[2][4] = {
		{ "env", "", "HOME", "" }, { "pool", "a", "handler", "echo" }
	};
	static const char *const	 origins[] = { "0", "-1", "1.5", "elsewhere", "4294967296" };
	struct msg_PING		 ping = { .cookie = 1 };
	struct buf		 out = { 0 };
	struct cfg		*c;
	const char		*why;
	size_t			 i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		why = NULL;
		assert_null(of_rows(rows[i], 2, "1", &why));
		assert_non_null(why);
	}
	for (i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
		assert_null(of_rows(good, 2, origins[i], &why));
		assert_string_equal(why, "a row that does not say where it comes from");
	}
	c = of_rows(good, 2, "", &why);
	assert_non_null(c);
	assert_null(c->token);
	cfg_unload(&c);
	assert_null(cfg_of_frame(SPAN("junk"), &why));
	assert_int_equal(msg_pack(&out, MSG_PING, &ping, NULL), 0);
	assert_null(cfg_of_frame(buf_span(&out), &why));
	assert_string_equal(why, "not a CONFIG message");
	buf_fini(&out);
}

static json_t *
option_json(json_t *all, const char *name)
{
	json_t	*row;
	size_t	 i;

	json_array_foreach(json_object_get(all, "options"), i, row)
		if (strcmp(json_string_value(json_object_get(row, "name")), name) == 0)
			return row;
	fail_msg("no option %s", name);
	return NULL;
}

static void
programs(void **state)
{
	struct cfg	*c;
	struct buf	 out = { 0 };
	char		 role[CFG_ROLE_BYTES];
	uint64_t	 hash;

	(void)state;
	assert_int_equal(setenv("CFG_TEST_KEY", "hush", 1), 0);
	c = expect_good(TOKEN "pool \"a\" { handler = \"exec:/usr/bin/env -i 'a b'\" events = { }\n"
	    "env = { \"KEY=${CFG_TEST_KEY}\", 'EMPTY=' } }\n" POOL, true);
	assert_string_equal(cfg_pool_command(&c->pools[0]), "/usr/bin/env -i 'a b'");
	assert_null(cfg_pool_role(&c->pools[0]));
	assert_string_equal(cfg_pool_role_name(&c->pools[0], role), "env");
	assert_int_equal(cfg_pool_credit(&c->pools[0]), 16);
	assert_false(cfg_pool_wants(&c->pools[0], "MESSAGE_CREATE"));
	assert_int_equal(c->pools[0].env.n, 2);
	assert_string_equal(c->pools[0].env.v[0], "KEY=hush");
	assert_string_equal(c->pools[0].env.v[1], "EMPTY=");
	assert_null(cfg_pool_command(&c->pools[1]));
	assert_string_equal(cfg_pool_role_name(&c->pools[1], role), "echo");
	cfg_json(c, "b.conf", &out);
	assert_null(memmem(buf_span(&out).p, buf_span(&out).n, "hush", 4));
	assert_non_null(memmem(buf_span(&out).p, buf_span(&out).n, "KEY=(set)", 9));
	buf_fini(&out);
	hash = c->hash;
	cfg_unload(&c);
	assert_int_equal(setenv("CFG_TEST_KEY", "other", 1), 0);
	c = expect_good(TOKEN "pool \"a\" { handler = \"exec:/usr/bin/env -i 'a b'\" events = { }\n"
	    "env = { \"KEY=${CFG_TEST_KEY}\", 'EMPTY=' } }\n" POOL, true);
	assert_true(c->hash == hash);
	cfg_unload(&c);
	assert_int_equal(unsetenv("CFG_TEST_KEY"), 0);
}

static void
show_config(void **state)
{
	struct cfg	*c = expect_good(TOKEN "drain = 1.5\npoison = 3\n"
	    "pool \"p\" {\n handler = echo\n # nothing\n events = {\n TYPING_START } }", true);
	static const struct { const char *name, *origin; } origins[] = {
		{ "token", "b.conf:1" }, { "drain", "b.conf:2" }, { "poison", "b.conf:3" },
		{ "handler", "b.conf:5" }, { "events", "b.conf:7" }, { "workers", "default" },
		{ "token_file", "default" }, { "hang", "default" },
	};
	struct buf	 out = { 0 };
	const struct cfg_option *all;
	json_t		*j, *o;
	size_t		 n, shown_n = 0;

	(void)state;
	cfg_json(c, "b.conf", &out);
	assert_null(memmem(buf_span(&out).p, buf_span(&out).n, "abc.def", 7));
	j = json_loadb(buf_span(&out).p, buf_span(&out).n, 0, NULL);
	assert_non_null(j);
	all = cfg_options(&n);
	for (size_t i = 0; i < n; i++)	/* there is no model, so nobody chats */
		shown_n += all[i].in == CFG_SCOPE_GLOBAL || all[i].in == CFG_SCOPE_POOL;
	assert_int_equal(json_array_size(json_object_get(j, "options")), shown_n);
	assert_int_equal(strlen(json_string_value(json_object_get(j, "hash"))), 16);
	assert_int_equal(json_array_size(json_object_get(j, "intents")), 2);
	o = option_json(j, "token");
	assert_string_equal(json_string_value(json_object_get(o, "value")), "(set)");
	assert_true(json_is_false(json_object_get(o, "default")));
	o = option_json(j, "token_file");
	assert_true(json_is_null(json_object_get(o, "value")));
	assert_true(json_is_true(json_object_get(o, "default")));
	for (size_t i = 0; i < sizeof(origins) / sizeof(origins[0]); i++) {
		o = option_json(j, origins[i].name);
		assert_string_equal(json_string_value(json_object_get(o, "origin")), origins[i].origin);
		assert_true(json_is_false(json_object_get(o, "former")));
	}
	o = option_json(j, "drain");
	assert_true(json_real_value(json_object_get(o, "value")) == 1.5);
	assert_true(json_is_false(json_object_get(o, "default")));
	assert_string_equal(json_string_value(json_object_get(o, "reload")), "live");
	o = option_json(j, "poison");
	assert_int_equal(json_integer_value(json_object_get(o, "value")), 3);
	assert_true(json_is_true(json_object_get(o, "default")));
	o = option_json(j, "events");
	assert_string_equal(json_string_value(json_object_get(o, "pool")), "p");
	assert_string_equal(json_string_value(json_array_get(json_object_get(o, "value"), 0)), "TYPING_START");
	o = option_json(j, "hang");
	assert_int_equal(json_integer_value(json_object_get(o, "value")), 10);
	json_decref(j);
	buf_reset(&out);
	cfg_unload(&c);
	c = expect_good(POOL, false);
	cfg_json(c, "b.conf", &out);
	assert_non_null(memmem(buf_span(&out).p, buf_span(&out).n, "\"(not set)\"", 11));
	buf_fini(&out);
	cfg_unload(&c);
}

static char	*load_errors;

static struct cfg *
load(const char *text, bool need_token)
{
	free(load_errors);
	put_file(conf, text, strlen(text));
	return cfg_load("/proc/self/exe", conf, need_token, -1, &load_errors);
}

static void
through_the_child(void **state)
{
	struct cfg	*c;

	(void)state;
	c = load("token = \"${CFG_TEST_TOKEN}\"\n" POOL, true);
	assert_non_null(c);
	assert_null(load_errors);
	assert_string_equal(c->token, "from.env");
	/* Used, and forgotten. */
	assert_null(getenv("CFG_TEST_TOKEN"));
	assert_non_null(getenv("CFG_TEST_EMPTY"));
	cfg_unload(&c);
	c = load(POOL, false);
	assert_non_null(c);
	cfg_unload(&c);

	assert_null(load("drain = x\npoison = y\n" TOKEN POOL, true));
	assert_non_null(strstr(load_errors, "b.conf:1: \"drain\" is"));
	assert_non_null(strstr(load_errors, "\n"));
	assert_null(strchr(strchr(load_errors, '\n') + 1, '\n'));

	assert_null(load("#exit\n", true));
	assert_string_equal(load_errors, "the configuration could not be read: input in flex scanner failed");
	assert_null(load("#signal\n", true));
	assert_string_equal(load_errors, "the configuration could not be read: its reader died of signal 6");
	assert_null(load("#silent\n", true));
	assert_string_equal(load_errors, "the configuration could not be read: an empty frame");
	assert_null(load("#flood\n", true));
	assert_non_null(strstr(load_errors, "the configuration could not be read: "));
	free(load_errors);
	assert_null(cfg_load("/nonexistent/bulkheadd", conf, true, -1, &load_errors));
	assert_string_equal(load_errors,
	    "the configuration could not be read: /nonexistent/bulkheadd: No such file or directory");
	free(load_errors);
	load_errors = NULL;
}

/* As `bulkheadd -x config [-g] -c path`; the first line of the file may ask for trouble. */
static int
child(int argc, char **argv)
{
	struct buf	 out = { 0 };
	char		 first[64] = "";
	FILE		*f = fopen(argv[argc - 1], "r");
	int		 i, rv;

	if (f == NULL || fgets(first, sizeof(first), f) == NULL)
		return 1;
	(void)fclose(f);
	if (strcmp(first, "#exit\n") == 0) {
		fprintf(stderr, "one\ninput in flex scanner failed\n");
		return 2;
	}
	if (strcmp(first, "#signal\n") == 0) {
		signal(SIGABRT, SIG_DFL);
		(void)raise(SIGABRT);
	}
	if (strcmp(first, "#silent\n") == 0)
		return 0;
	if (strcmp(first, "#flood\n") == 0)
		for (i = 0; i < (8 << 20) / 64; i++)
			if (write(STDOUT_FILENO, first, sizeof(first)) != sizeof(first))
				return 1;
	rv = cfg_check_file(argv[argc - 1], argc == 5, &out);
	if (write(STDOUT_FILENO, buf_span(&out).p, out.n) != (ssize_t)out.n)
		return 1;
	buf_fini(&out);
	return rv == 0 ? 0 : 78;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(everything_set),
		cmocka_unit_test(intents_follow_the_events),
		cmocka_unit_test(the_hash_is_of_all_but_secrets),
		cmocka_unit_test(each_mistake_has_its_sentence),
		cmocka_unit_test(urls),
		cmocka_unit_test(odd_files),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(the_token_from_its_file),
		cmocka_unit_test(a_service_of_systemd),
		cmocka_unit_test(models_and_chat),
		cmocka_unit_test(the_table_is_sound),
		cmocka_unit_test(a_frame_is_checked_again),
		cmocka_unit_test(programs),
		cmocka_unit_test(show_config),
		cmocka_unit_test(through_the_child),
	};

	if (argc > 1)
		return child(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
