/*
 * trigger: the truth table of who is answered; stopping; two bots.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "worker/chat/trigger.h"

#define ME	100ull
#define HUMAN	200ull
#define OTHER	300ull
#define HERE	1000ull
#define FREE	2000ull
#define GUILD	3000ull

static const uint64_t	 free_channels[] = { 1999, FREE };

/* Columns: the rule about bots, then the message, then the verdict. */
static const struct row {
	const char		*what;
	enum trigger_bots	 bots;
	uint64_t		 author, channel, guild;
	unsigned		 type;
	bool			 webhook, bot, mentions_self, mentions_others, replies;
	uint64_t		 replied_author;
	bool			 empty;
	enum trigger		 want;
} rows[] = {
#define N TRIGGER_BOTS_NONE
#define M TRIGGER_BOTS_MENTIONS
#define A TRIGGER_BOTS_ALL
{ "plain talk",			N, HUMAN, HERE, GUILD, 0, 0,0,0,0,0, 0,	    0, TRIGGER_NOT_CALLED },
{ "plain talk with a ping",	N, HUMAN, HERE, GUILD, 0, 0,0,0,1,0, 0,	    0, TRIGGER_NOT_CALLED },
{ "mention",			N, HUMAN, HERE, GUILD, 0, 0,0,1,0,0, 0,	    0, TRIGGER_MENTION },
{ "mention of others too",	N, HUMAN, HERE, GUILD, 0, 0,0,1,1,0, 0,	    0, TRIGGER_MENTION },
{ "mention and nothing else",	N, HUMAN, HERE, GUILD, 0, 0,0,1,0,0, 0,	    1, TRIGGER_MENTION },
{ "mention in a reply to another", N, HUMAN, HERE, GUILD, 19, 0,0,1,1,1, OTHER, 0, TRIGGER_MENTION },
{ "reply to the bot, ping on",	N, HUMAN, HERE, GUILD, 19, 0,0,1,0,1, ME,   0, TRIGGER_MENTION },
{ "reply to the bot, ping off",	N, HUMAN, HERE, GUILD, 19, 0,0,0,0,1, ME,   0, TRIGGER_REPLY },
{ "reply to another",		N, HUMAN, HERE, GUILD, 19, 0,0,0,1,1, OTHER, 0, TRIGGER_NOT_CALLED },
{ "reply to the unknown",	N, HUMAN, HERE, GUILD, 19, 0,0,0,0,1, 0,    0, TRIGGER_LOOK },
{ "direct",			N, HUMAN, HERE, 0,     0, 0,0,0,0,0, 0,	    0, TRIGGER_DM },
{ "direct, with nothing",	N, HUMAN, HERE, 0,     0, 0,0,0,0,0, 0,	    1, TRIGGER_EMPTY },
{ "direct reply to oneself",	N, HUMAN, HERE, 0,     19, 0,0,0,0,1, HUMAN, 0, TRIGGER_DM },
{ "free",			N, HUMAN, FREE, GUILD, 0, 0,0,0,0,0, 0,	    0, TRIGGER_FREE },
{ "free, to another",		N, HUMAN, FREE, GUILD, 0, 0,0,0,1,0, 0,	    0, TRIGGER_NOT_FOR_ME },
{ "free, to another and the bot", N, HUMAN, FREE, GUILD, 0, 0,0,1,1,0, 0,   0, TRIGGER_MENTION },
{ "free, reply to another",	N, HUMAN, FREE, GUILD, 19, 0,0,0,0,1, OTHER, 0, TRIGGER_NOT_FOR_ME },
{ "free, reply to the bot",	N, HUMAN, FREE, GUILD, 19, 0,0,0,0,1, ME,   0, TRIGGER_REPLY },
{ "free, reply to the unknown",	N, HUMAN, FREE, GUILD, 19, 0,0,0,0,1, 0,    0, TRIGGER_LOOK },
{ "free, with nothing",		N, HUMAN, FREE, GUILD, 0, 0,0,0,0,0, 0,	    1, TRIGGER_EMPTY },
{ "somebody joined",		N, HUMAN, FREE, GUILD, 7, 0,0,0,0,0, 0,	    1, TRIGGER_KIND },
{ "a pin of a direct message",	N, HUMAN, HERE, 0,     6, 0,0,0,0,0, 0,	    0, TRIGGER_KIND },
{ "a thread's starter",		N, HUMAN, FREE, GUILD, 21, 0,0,0,0,0, 0,    0, TRIGGER_KIND },
{ "itself",			A, ME,	  FREE, GUILD, 0, 0,1,1,0,0, 0,	    0, TRIGGER_SELF },
{ "itself, direct",		A, ME,	  HERE, 0,     0, 0,1,0,0,0, 0,	    0, TRIGGER_SELF },
{ "webhook",			A, OTHER, FREE, GUILD, 0, 1,1,1,0,0, 0,	    0, TRIGGER_WEBHOOK },
{ "bot, none",			N, OTHER, HERE, GUILD, 0, 0,1,1,0,0, 0,	    0, TRIGGER_BOT },
{ "bot, none, free",		N, OTHER, FREE, GUILD, 0, 0,1,0,0,0, 0,	    0, TRIGGER_BOT },
{ "bot, mentions, calls",	M, OTHER, HERE, GUILD, 0, 0,1,1,0,0, 0,	    0, TRIGGER_MENTION },
{ "bot, mentions, talks",	M, OTHER, FREE, GUILD, 0, 0,1,0,0,0, 0,	    0, TRIGGER_BOT },
{ "bot, mentions, replies",	M, OTHER, HERE, GUILD, 19, 0,1,0,0,1, ME,   0, TRIGGER_BOT },
{ "bot, all, free",		A, OTHER, FREE, GUILD, 0, 0,1,0,0,0, 0,	    0, TRIGGER_FREE },
{ "bot, all, replies",		A, OTHER, HERE, GUILD, 19, 0,1,0,0,1, ME,   0, TRIGGER_REPLY },
#undef N
#undef M
#undef A
};

static void
truth_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row	*r = &rows[i];
		struct trigger_rules	 rules = { r->bots, free_channels, 2 };
		struct trigger_message	 m = {
			ME, r->author, r->channel, r->guild, r->type, r->webhook, r->bot,
			r->mentions_self, r->mentions_others, r->replies, r->replied_author,
			r->empty
		};
		enum trigger		 got = trigger_decide(&rules, &m);

		if (got != r->want)
			fail_msg("%s: %s, not %s", r->what, trigger_name(got),
			    trigger_name(r->want));
	}
}

/* Before SELF came nobody is the bot: an author of 0 would be. */
static void
unknown_self(void **state)
{
	struct trigger_rules	 rules = { TRIGGER_BOTS_NONE, NULL, 0 };
	struct trigger_message	 m = { .author = HUMAN, .channel = HERE, .guild = GUILD };

	(void)state;
	assert_int_equal(trigger_decide(&rules, &m), TRIGGER_NOT_CALLED);
	m.author = 0;
	assert_int_equal(trigger_decide(&rules, &m), TRIGGER_NOT_CALLED);
	m.replies = true;
	assert_int_equal(trigger_decide(&rules, &m), TRIGGER_LOOK);
}

static struct trigger_message
read_json(const char *json)
{
	struct trigger_message	 m;
	json_t			*j = json_loads(json, 0, NULL);

	assert_non_null(j);
	assert_true(trigger_read(j, ME, &m));
	json_decref(j);
	return m;
}

#define HEAD "{\"id\":\"1\",\"channel_id\":\"1000\",\"author\":{\"id\":\"200\"},"

static void
events_are_read(void **state)
{
	struct trigger_message	 m;
	json_t			*j;

	(void)state;
	m = read_json(HEAD "\"content\":\"hi\",\"guild_id\":\"3000\",\"type\":0,\"mentions\":["
	    "{\"id\":\"100\"}],\"mention_roles\":[]}");
	assert_int_equal(m.author, HUMAN);
	assert_int_equal(m.guild, GUILD);
	assert_true(m.mentions_self);
	assert_false(m.mentions_others || m.replies || m.empty || m.bot || m.webhook);
	m = read_json(HEAD "\"content\":\"\",\"type\":19,\"mention_roles\":[\"5\"],"
	    "\"referenced_message\":{\"author\":{\"id\":\"100\"}}}");
	assert_true(m.mentions_others && m.replies && m.empty);
	assert_int_equal(m.replied_author, ME);
	assert_int_equal(m.guild, 0);
	m = read_json(HEAD "\"content\":\" <@100> <@!100>\\n\",\"type\":19,"
	    "\"referenced_message\":null,\"webhook_id\":\"9\"}");
	assert_true(m.empty && m.webhook);
	assert_true(m.replied_author != 0 && m.replied_author != ME);
	m = read_json(HEAD "\"content\":\"<@200>\",\"type\":19}");
	assert_false(m.empty);
	assert_int_equal(m.replied_author, 0);
	m = read_json(HEAD "\"content\":\"\",\"attachments\":[{}]}");
	assert_false(m.empty);
	j = json_loads("{\"id\":\"1\"}", 0, NULL);
	assert_false(trigger_read(j, ME, &m));
	assert_false(trigger_read(NULL, ME, &m));
	json_decref(j);
}

static void
every_verdict_says_why(void **state)
{
	(void)state;
	for (int t = 0; t < TRIGGER__N; t++) {
		assert_true(trigger_why((enum trigger)t)[0] != '\0');
		assert_int_equal(trigger_answers((enum trigger)t), t >= TRIGGER_DM);
	}
}

static void
stop_words(void **state)
{
	static const char *const	 words[] = { "stop", "halt" };
	static const char *const	 yes[] = {
		"stop", "STOP", " Stop!\n", "halt...", "<@100> stop", "<@!100>  Stop.", "stop <@100>",
	};
	static const char *const	 no[] = {
		"", "stop it", "nonstop", "<@100>", "<@200> stop", "stop stop", "!", "stop?",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (!trigger_is_stop(span_of(yes[i]), ME, words, 2))
			fail_msg("\"%s\" does not stop", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (trigger_is_stop(span_of(no[i]), ME, words, 2))
			fail_msg("\"%s\" stops", no[i]);
	assert_true(trigger_is_stop_emoji(SPAN("\xe2\x8f\xb9\xef\xb8\x8f")));
	assert_true(trigger_is_stop_emoji(SPAN("\xf0\x9f\x9b\x91")));
	assert_false(trigger_is_stop_emoji(SPAN("stop")));
	assert_false(trigger_is_stop_emoji(SPAN_NONE));
}

static struct mono
at(uint64_t ms)
{
	return (struct mono){ (1000000 + ms) * 1000 };
}

static void
two_bots_end(void **state)
{
	struct trigger_guard	 g = { 0 };
	unsigned		 n = 0;

	(void)state;
	for (uint64_t t = 0; t < 59000; t += 1000)
		n += trigger_guard_admit(&g, HERE, at(t));
	assert_int_equal(n, TRIGGER_GUARD_TURNS);
	assert_true(trigger_guard_admit(&g, FREE, at(59000)));	/* another channel */
	assert_false(trigger_guard_admit(&g, HERE, at(79999)));
	assert_true(trigger_guard_admit(&g, HERE, at(80000)));	/* 60 s after the first refusal */
}

static void
slow_bots_go_on(void **state)
{
	struct trigger_guard	 g = { 0 };

	(void)state;
	for (uint64_t t = 0; t < 600000; t += 4000)
		assert_true(trigger_guard_admit(&g, HERE, at(t)));
	/* Many channels: the one idle longest makes room, the table does not grow. */
	for (uint64_t c = 0; c < 1000; c++)
		assert_true(trigger_guard_admit(&g, c + 5000, at(600000 + c)));
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(truth_table),
		cmocka_unit_test(unknown_self),
		cmocka_unit_test(events_are_read),
		cmocka_unit_test(every_verdict_says_why),
		cmocka_unit_test(stop_words),
		cmocka_unit_test(two_bots_end),
		cmocka_unit_test(slow_bots_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
