/*
 * context: a scripted channel, what a chain asks of it, which conversation comes out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "worker/chat/context.h"

#define ME	7ull
#define ANNA	8ull
#define BOB	9ull
#define HERE	50ull
#define PARENT	51ull
#define SCRIPT_MAX 128

/* Message ids are times: seconds after some day. */
#define ID(s)	((1000000000000ull + (s) * 1000ull) << 22)

struct said {
	unsigned	 s;		/* when, and so its id */
	uint64_t	 author;
	const char	*text;
	unsigned	 reply_s;	/* 0 none */
	bool		 calls;
	unsigned	 type;		/* 0: by reply_s */
	uint64_t	 channel;	/* 0: HERE */
};

static struct said	 script[SCRIPT_MAX];
static size_t		 script_n;
static struct context	*cache;
static unsigned		 gets_n, pages_n;
static bool		 embed, refuse_pages, whole_thread;
static struct context_rules rules;

static void
say(struct said m)
{
	assert_true(script_n < SCRIPT_MAX);
	script[script_n++] = m;
}

static const struct said *
said_at(uint64_t id)
{
	for (size_t i = 0; i < script_n; i++)
		if (ID(script[i].s) == id)
			return &script[i];
	return NULL;
}

static json_t *
number(uint64_t v)
{
	char	 s[32];

	snprintf(s, sizeof(s), "%llu", (unsigned long long)v);
	return json_string(s);
}

static uint64_t
channel_of(const struct said *m)
{
	return m->channel != 0 ? m->channel : HERE;
}

static json_t *
message(const struct said *m, bool deep)
{
	static const char *const	 names[] = { "bot", "anna", "bob" };
	const struct said		*to = m->reply_s == 0 ? NULL : said_at(ID(m->reply_s));
	json_t				*o;

	o = json_pack("{s:o, s:o, s:i, s:s, s:{s:o, s:s}, s:[], s:[], s:[]}",
	    "id", number(ID(m->s)), "channel_id", number(channel_of(m)),
	    "type", m->type != 0 ? (int)m->type : m->reply_s != 0 ? 19 : 0, "content", m->text,
	    "author", "id", number(m->author), "username", names[m->author - ME],
	    "mentions", "attachments", "embeds");
	if (m->calls)
		json_array_append_new(json_object_get(o, "mentions"),
		    json_pack("{s:o, s:s}", "id", number(ME), "username", "bot"));
	if (m->reply_s != 0)
		json_object_set_new(o, "message_reference", json_pack("{s:o, s:o}",
		    "message_id", number(ID(m->reply_s)),
		    "channel_id", number(to == NULL ? HERE : channel_of(to))));
	if (m->reply_s != 0 && to == NULL)
		json_object_set_new(o, "referenced_message", json_null());
	else if (m->reply_s != 0 && deep && embed)
		json_object_set_new(o, "referenced_message", message(to, false));
	if (whole_thread)
		json_object_set_new(o, "position", json_integer(1));
	return o;
}

/* Discord's side. */
static void
answer(struct chain *c, const char *path)
{
	unsigned long long	 channel, id, limit;
	const struct said	*m = NULL;
	json_t			*j = NULL;
	char			*text;

	if (sscanf(path, "/channels/%llu/messages?before=%llu&limit=%llu", &channel, &id,
	    &limit) == 3) {
		pages_n++;
		j = refuse_pages ? NULL : json_array();
		for (size_t i = script_n; j != NULL && i-- > 0;)
			if (channel_of(&script[i]) == channel && ID(script[i].s) < id &&
			    json_array_size(j) < limit)
				json_array_append_new(j, message(&script[i], true));
	} else if (sscanf(path, "/channels/%llu/messages/%llu", &channel, &id) == 2) {
		gets_n++;
		m = said_at(id);
		if (m != NULL && channel_of(m) == channel)
			j = message(m, true);
	} else
		fail_msg("asked for %s", path);
	if (j == NULL) {
		chain_answer(c, refuse_pages && m == NULL ? 403 : 404, SPAN("{\"code\":10008}"));
		return;
	}
	text = json_dumps(j, JSON_COMPACT);
	chain_answer(c, 200, span_of(text));
	free(text);
	json_decref(j);
}

/* The conversation of the last message of the script, as "anna:text bot:text ...". */
static struct chain *
walk(void)
{
	json_t		*event = message(&script[script_n - 1], true);
	struct chain	*c = chain_new(cache, &rules, ME, event);
	const char	*path;

	assert_non_null(c);
	while ((path = chain_wants(c)) != NULL)
		answer(c, path);
	json_decref(event);
	return c;
}

static void
expect(const char *want)
{
	struct chain	*c = walk();
	struct buf	 b = { 0 };

	for (size_t i = 0; i < chain_n(c); i++)
		buf_printf(&b, "%s%s:%.12s", i == 0 ? "" : " ", chain_message(c, i)->name,
		    chain_message(c, i)->text);
	buf_printf(&b, "%s%s", chain_cut(c) ? " +cut" : "", chain_lost(c) ? " +lost" : "");
	buf_add(&b, "", 1);
	assert_string_equal(buf_span(&b).p, want);
	buf_fini(&b);
	chain_free(&c);
}

static int
setup(void **state)
{
	(void)state;
	script_n = 0;
	gets_n = pages_n = 0;
	embed = true;
	refuse_pages = whole_thread = false;
	rules = (struct context_rules){ 25, false, false, 300000, 86400000 };
	cache = context_new(1000, 1 << 20);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	context_free(&cache);
	return 0;
}

/* ---- the chain ---- */

/* Two replies to one message are two conversations; nothing of one is in the other. */
static void
branches(void **state)
{
	(void)state;
	say((struct said){ 1, ANNA, "root", .calls = true });
	say((struct said){ 2, ME, "answer", .reply_s = 1 });
	say((struct said){ 3, BOB, "left", .reply_s = 2 });
	say((struct said){ 4, ANNA, .text = "noise" });
	say((struct said){ 5, ME, "to-left", .reply_s = 3 });
	say((struct said){ 6, BOB, "left-2", .reply_s = 5 });
	expect("anna:root bot:answer bob:left bot:to-left bob:left-2");
	say((struct said){ 7, ANNA, "right", .reply_s = 2 });
	expect("anna:root bot:answer anna:right");
	assert_int_equal(gets_n, 0);	/* one page had it all, then the cache */
	assert_int_equal(pages_n, 1);
}

static void
call_stands_alone(void **state)
{
	(void)state;
	say((struct said){ 1, ANNA, .text = "before" });
	say((struct said){ 2, ANNA, "<@7> hello", .calls = true });
	expect("anna:hello");
	assert_int_equal(pages_n, 0);
}

static void
direct_goes_on(void **state)
{
	(void)state;
	rules.direct = true;
	say((struct said){ 1, ANNA, .text = "yesterday" });
	say((struct said){ 90000, ANNA, .text = "one" });
	say((struct said){ 90001, ME, "two", .reply_s = 90000 });
	say((struct said){ 90002, ANNA, .text = "three" });
	say((struct said){ 90003, ANNA, .text = "four" });
	expect("anna:one bot:two anna:three anna:four");
	assert_int_equal(pages_n, 1);
	/* A branch in a direct message is one too. */
	say((struct said){ 90004, ANNA, "other", .reply_s = 90000 });
	expect("anna:one anna:other");
}

static void
open_channel_goes_on(void **state)
{
	(void)state;
	rules.open = true;
	say((struct said){ 1, ANNA, .text = "one" });
	say((struct said){ 2, ME, "two", .reply_s = 1 });
	say((struct said){ 3, BOB, .text = "three" });
	expect("anna:one bot:two bob:three");
	say((struct said){ 4, ANNA, .text = "four" });
	expect("anna:four");		/* after someone else */
}

/* What one author says in a row is one speech, if it is not too long ago. */
static void
same_author_merges(void **state)
{
	(void)state;
	say((struct said){ 1, ANNA, .text = "long-ago" });
	say((struct said){ 400, ANNA, .text = "look" });
	say((struct said){ 410, ANNA, .text = "here" });
	say((struct said){ 420, BOB, .text = "ha" });
	say((struct said){ 430, BOB, "<@7> explain", .reply_s = 410, .calls = true });
	expect("anna:look anna:here bob:explain");
}

/* Others wrote between the parts of an answer. */
static void
answer_of_parts(void **state)
{
	char	 first[1200], second[1200];

	(void)state;
	memset(first, 'x', sizeof(first));
	memset(second, 'y', sizeof(second));
	first[sizeof(first) - 1] = second[sizeof(second) - 1] = '\0';
	say((struct said){ 1, ME, .text = "unrelated" });
	say((struct said){ 2, ANNA, "tell", .calls = true });
	say((struct said){ 3, ME, first, .reply_s = 2 });
	say((struct said){ 4, BOB, .text = "wow" });
	say((struct said){ 5, ME, .text = second });
	say((struct said){ 6, ANNA, .text = "ha" });
	say((struct said){ 7, ME, .text = "end" });
	say((struct said){ 8, BOB, "and?", .reply_s = 7 });
	expect("anna:tell bot:xxxxxxxxxxxx bot:yyyyyyyyyyyy bot:end bob:and?");
	/* A short message was complete: the next one is no part of it. */
	say((struct said){ 9, ME, .text = "notice" });
	say((struct said){ 10, ANNA, "what", .reply_s = 9 });
	expect("bot:notice anna:what");
}

static void
thread_begins_with_its_starter(void **state)
{
	(void)state;
	whole_thread = true;
	say((struct said){ 1, BOB, "topic", .channel = PARENT });
	say((struct said){ 2, ANNA, "", .reply_s = 1, .type = 21 });
	say((struct said){ 3, ANNA, "<@7> thoughts?", .calls = true });
	expect("bob:topic anna:thoughts?");
	/* Updates of another channel may go to another worker. */
	assert_null(context_find(cache, ID(1)));
	assert_non_null(context_find(cache, ID(3)));
}

static void
deleted_ends_it(void **state)
{
	(void)state;
	say((struct said){ 2, ANNA, "and", .reply_s = 1 });	/* null in the event */
	expect("anna:and +lost");
	assert_int_equal(gets_n + pages_n, 0);
	embed = false;
	script_n = 0;
	say((struct said){ 1, ME, .text = "gone" });
	say((struct said){ 3, ANNA, "and", .reply_s = 1 });
	script[0].channel = PARENT;		/* so a GET below this channel gives 404 */
	expect("anna:and +lost");
	assert_int_equal(gets_n, 1);
}

static void
pages_refused(void **state)
{
	(void)state;
	refuse_pages = true;
	embed = false;
	say((struct said){ 1, ANNA, "q", .calls = true });
	say((struct said){ 2, ME, "a", .reply_s = 1 });
	say((struct said){ 3, ANNA, "more", .reply_s = 2 });
	expect("anna:q bot:a anna:more");
	assert_int_equal(gets_n, 2);
	rules.direct = true;
	say((struct said){ 4, ANNA, .text = "on" });
	expect("anna:on");
}

static void
bounded(void **state)
{
	(void)state;
	rules.messages_max = 3;
	for (unsigned i = 1; i < 100; i++)
		say((struct said){ i, i % 2 == 0 ? ME : ANNA, "x", .reply_s = i - 1 });
	expect("anna:x bot:x anna:x +cut");
	rules.messages_max = 99;
	{
		struct chain	*c = walk();

		assert_int_equal(chain_n(c), 99);
		assert_false(chain_cut(c));
		chain_free(&c);
	}
	rules.messages_max = 1;
	expect("anna:x +cut");
}

/* References cannot form a loop, whatever a server says. */
static void
no_loops(void **state)
{
	(void)state;
	embed = false;
	say((struct said){ 1, ANNA, "a", .reply_s = 2 });
	say((struct said){ 2, ME, "b", .reply_s = 1 });
	expect("anna:a bot:b +lost");
}

static void
nonsense_from_the_server(void **state)
{
	static const char *const	 bodies[] = {
		"", "{", "[]", "{}", "[[],1,null,{}]", "null", "[{\"id\":\"1\"}]",
		"{\"id\":\"5\",\"channel_id\":\"50\",\"content\":\"x\",\"author\":{\"id\":\"8\"}}"
	};

	(void)state;
	embed = false;
	say((struct said){ 1, ME, .text = "a" });
	say((struct said){ 2, ANNA, "b", .reply_s = 1 });
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		json_t		*event = message(&script[1], true);
		struct chain	*c = chain_new(cache, &rules, ME, event);
		unsigned	 n = 0;

		for (; chain_wants(c) != NULL; n++) {
			assert_true(n < 3);
			chain_answer(c, 200, span_of(bodies[i]));
		}
		assert_int_equal(chain_n(c), 1);
		assert_true(chain_lost(c));
		chain_free(&c);
		json_decref(event);
	}
}

static void
no_message(void **state)
{
	json_t	*j = json_pack("{s:s}", "id", "1");

	(void)state;
	assert_null(chain_new(cache, &rules, ME, j));
	assert_null(chain_new(cache, &rules, ME, NULL));
	assert_false(context_put(cache, ME, j, false));
	json_decref(j);
}

/* ---- the cache ---- */

static void
update(const char *fmt, const char *text, const char *edited)
{
	json_t	*j = json_pack(fmt, "id", number(ID(1)), "channel_id", number(HERE),
	    "author", "id", number(ANNA), "content", text, "edited_timestamp", edited);

	context_update(cache, ME, j);
	json_decref(j);
}

#define WHOLE "{s:o, s:o, s:{s:o}, s:s, s:s}"

static void
follows_edits_and_deletes(void **state)
{
	(void)state;
	update(WHOLE, "nobody asked", "2030-01-01T00:00:00+00:00");
	assert_null(context_find(cache, ID(1)));
	say((struct said){ 1, ANNA, "first", .calls = true });
	say((struct said){ 2, BOB, "b", .reply_s = 1 });
	expect("anna:first bob:b");
	update(WHOLE, "second", "2030-01-01T00:00:00+00:00");
	assert_string_equal(context_find(cache, ID(1))->text, "second");
	/* An answer that was under way meanwhile is older. */
	expect(":second bob:b");
	update(WHOLE, "third", "2030-01-01T00:00:01+00:00");
	assert_string_equal(context_find(cache, ID(1))->text, "third");
	{
		json_t	*j = json_pack("{s:o, s:[]}", "id", number(ID(1)), "embeds");

		context_update(cache, ME, j);	/* says not all: asked again next time */
		json_decref(j);
	}
	assert_null(context_find(cache, ID(1)));
	expect("anna:first bob:b");
	context_delete(cache, ID(1));
	context_delete(cache, ID(1));
	assert_null(context_find(cache, ID(1)));
	context_forget(cache, PARENT);
	assert_non_null(context_find(cache, ID(2)));
	context_forget(cache, HERE);
	assert_int_equal(context_messages_n(cache), 0);
	assert_int_equal(context_bytes(cache), 0);
}

/* The event shows half an answer: the reply waited for its end, and must not read the half. */
static void
own_text_is_asked_for(void **state)
{
	json_t		*event;
	struct chain	*c;

	(void)state;
	say((struct said){ 1, ANNA, "q", .calls = true });
	say((struct said){ 2, ME, "half", .reply_s = 1 });
	say((struct said){ 3, ANNA, "and", .reply_s = 2 });
	event = message(&script[2], true);
	script[1].text = "half and whole";
	c = chain_new(cache, &rules, ME, event);
	answer(c, chain_wants(c));
	assert_null(chain_wants(c));
	assert_int_equal(chain_n(c), 3);
	assert_string_equal(chain_message(c, 1)->text, "half and whole");
	chain_free(&c);
	json_decref(event);
}

static void
cache_is_bounded(void **state)
{
	struct context	*small = context_new(10, 1 << 20);
	size_t		 each;

	(void)state;
	for (unsigned i = 1; i <= 40; i++) {
		struct said	 s = { i, ANNA, .text = "0123456789" };
		json_t		*j = message(&s, false);

		assert_true(context_put(small, ME, j, true));
		json_decref(j);
		if (i >= 20)
			assert_non_null(context_find(small, ID(15)));	/* in use: it stays */
		else if (i > 10)
			assert_non_null(context_find(small, ID(i < 15 ? i : 15)));
	}
	assert_int_equal(context_messages_n(small), 10);
	assert_null(context_find(small, ID(30)));
	assert_non_null(context_find(small, ID(40)));
	each = context_bytes(small) / 10;
	context_free(&small);

	small = context_new(1000, each * 4);
	for (unsigned i = 1; i <= 40; i++) {
		struct said	 s = { i, ANNA, .text = "0123456789" };
		json_t		*j = message(&s, false);

		assert_true(context_put(small, ME, j, true));
		json_decref(j);
		assert_true(context_bytes(small) <= each * 4);
	}
	assert_int_equal(context_messages_n(small), 4);
	context_free(&small);
	assert_null(small);
}

/* A chain goes on though the cache forgets all the time. */
static void
chain_outlives_the_cache(void **state)
{
	(void)state;
	context_free(&cache);
	cache = context_new(1, 1 << 20);
	say((struct said){ 1, ANNA, "a", .calls = true });
	say((struct said){ 2, ME, "b", .reply_s = 1 });
	say((struct said){ 3, ANNA, "c", .reply_s = 2 });
	expect("anna:a bot:b anna:c");
}

/* ---- what a message says ---- */

static void
expect_text(uint64_t author, const char *json, const char *want)
{
	char	*all = mem_printf("{\"id\":\"99\",\"channel_id\":\"50\",\"author\":{\"id\":\"%llu\","
	    "\"username\":\"u\"},%s}", (unsigned long long)author, json);
	json_t	*j = json_loads(all, 0, NULL);

	assert_non_null(j);
	assert_true(context_put(cache, ME, j, false));
	assert_string_equal(context_find(cache, 99)->text, want);
	json_decref(j);
	free(all);
}

static void
texts(void **state)
{
	(void)state;
	expect_text(ANNA, "\"content\":\" <@7>  hi <@!7>\"", "hi");
	expect_text(ANNA, "\"content\":\"a <@7> b\"", "a <@7> b");
	expect_text(ANNA, "\"content\":\"ask <@7> and <@9> and <@1>\",\"mentions\":["
	    "{\"id\":\"7\",\"username\":\"bot\",\"global_name\":\"Botty\"},"
	    "{\"id\":\"9\",\"username\":\"bob\",\"member\":{\"nick\":\"Bobby\"}}]",
	    "ask @Botty and @Bobby and <@1>");
	expect_text(ANNA, "\"content\":\"<<@7>\"", "<");
	expect_text(ANNA, "\"content\":\"<@\"", "<@");
	expect_text(ANNA, "\"content\":\"<@7>\"", "");
	expect_text(ANNA, "\"content\":\"x\",\"embeds\":[{\"type\":\"rich\",\"title\":\"T\","
	    "\"description\":\"D\",\"footer\":{\"text\":\"F\"}},{\"type\":\"link\",\"title\":\"no\"}]",
	    "x\nT\nD\nF");
	expect_text(ANNA, "\"content\":\"\",\"components\":[{\"type\":17,\"components\":["
	    "{\"type\":10,\"content\":\"in\"}]},{\"type\":10,\"content\":\"out\"}]", "in\nout");
	expect_text(ANNA, "\"content\":\"\",\"message_snapshots\":[{\"message\":{\"content\":\"f\"}}]",
	    "(forwarded)\nf");
	/* Notes below an answer are not its text; a user may write them. */
	expect_text(ME, "\"content\":\"a\\n\\u26a0 interrupted\"", "a");
	expect_text(ME, "\"content\":\"a\\n\\u23f9 stopped\\n-# older\"", "a");
	expect_text(ME, "\"content\":\"\\u23f3 restarting\"", "");
	expect_text(ANNA, "\"content\":\"a\\n-# small\"", "a\n-# small");
}

static void
names_and_attachments(void **state)
{
	const struct context_message	*m;
	json_t				*j = json_loads("{\"id\":\"99\",\"channel_id\":\"50\","
	    "\"content\":\"\",\"author\":{\"id\":\"8\",\"username\":\"anna\",\"global_name\":\"Anna\"},"
	    "\"member\":{\"nick\":\"A\\nB\"},\"attachments\":["
	    "{\"url\":\"https://cdn/1\",\"content_type\":\"image/png\",\"size\":12},"
	    "{\"url\":\"https://cdn/2\",\"content_type\":\"text/plain\",\"size\":12},"
	    "{\"url\":\"https://cdn/3\"}]}", 0, NULL);

	(void)state;
	assert_true(context_put(cache, ME, j, true));
	m = context_find(cache, 99);
	assert_string_equal(m->name, "A B");	/* no second line that looks like another speaker */
	assert_int_equal(m->images_n, 1);
	assert_string_equal(m->images[0].url, "https://cdn/1");
	assert_int_equal(m->images[0].bytes, 12);
	assert_int_equal(m->files_n, 2);
	json_decref(j);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		T(branches), T(call_stands_alone), T(direct_goes_on), T(open_channel_goes_on),
		T(same_author_merges), T(answer_of_parts), T(thread_begins_with_its_starter),
		T(deleted_ends_it), T(pages_refused), T(bounded), T(no_loops),
		T(nonsense_from_the_server), T(no_message), T(follows_edits_and_deletes),
		T(own_text_is_asked_for), T(cache_is_bounded), T(chain_outlives_the_cache),
		T(texts), T(names_and_attachments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
