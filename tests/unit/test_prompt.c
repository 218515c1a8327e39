/*
 * prompt: what the model is told, what is dropped over the budget, what people are told of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "worker/chat/prompt.h"

#define BOT	1ull
#define ANNA	2ull
#define BOB	3ull

static const struct prompt_names	 names = {
	"2024-05-01", "Bulky", "general", "Home", "Anna"
};

static struct prompt_turn
person(uint64_t author, const char *text)
{
	return (struct prompt_turn){ .author = author, .text = text,
	    .name = author == ANNA ? "Anna" : "Bob" };
}

static struct prompt_turn
bot(const char *text)
{
	return (struct prompt_turn){ .own = true, .author = BOT, .name = "Bulky", .text = text };
}

static void
expect(const struct prompt *p, const char *want)
{
	static const char *const	 roles[] = { "S", "U", "A", "T" };
	const struct chat_message	*m;
	struct buf			 b = { 0 };
	size_t				 n;

	m = prompt_messages(p, &n);
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s[%.*s]", roles[m[i].role], (int)m[i].text.n, m[i].text.p);
	buf_add(&b, "", 1);
	assert_string_equal(buf_span(&b).p, want);
	buf_fini(&b);
}

static void
turns_become_messages(void **state)
{
	struct prompt_rules	 rules = { .system = "You are {bot}." };
	struct prompt_turn	 turns[] = {
		person(ANNA, "one"), person(ANNA, "two"), bot("three"), bot("four"),
		person(BOB, "five"), person(ANNA, "six"),
	};
	struct prompt		*p = prompt_new(&rules, &names, turns, 6, false, false);

	(void)state;
	expect(p, "S[You are Bulky.]U[one\ntwo]A[three\nfour]U[five]U[six]");
	assert_int_equal(prompt_turns_n(p), 6);
	assert_string_equal(prompt_note(p), "");
	prompt_free(&p);
	assert_null(p);

	rules = (struct prompt_rules){ .names = true };
	p = prompt_new(&rules, &names, turns, 6, false, false);
	expect(p, "S[Each message of a person begins with the name of who wrote it, a colon and a"
	    " blank. Do not begin your answers with a name.]"
	    "U[Anna: one\ntwo]A[three\nfour]U[Bob: five]U[Anna: six]");
	prompt_free(&p);

	rules = (struct prompt_rules){ 0 };
	p = prompt_new(&rules, &names, NULL, 0, false, false);
	expect(p, "");
	prompt_free(&p);
}

static void
template(void **state)
{
	static const struct {
		const char	*in, *out;
	} rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "{date}|{bot}|{channel}|{guild}|{user}",
		  "2024-05-01|Bulky|general|Home|Anna" },
		{ "{time} {} {bot {bot}} {{bot}", "{time} {} {bot Bulky} {Bulky" },
		{ "{", "{" },
	};
	struct prompt_names	 nobody = { 0 };
	struct buf		 b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_reset(&b);
		prompt_fill(rows[i].in, &names, &b);
		assert_true(span_is(buf_span(&b), rows[i].out));
	}
	buf_reset(&b);
	prompt_fill("a{guild}b", &nobody, &b);
	assert_true(span_is(buf_span(&b), "ab"));
	buf_fini(&b);
	assert_true(prompt_uses("x {channel} y", "channel"));
	assert_false(prompt_uses("x {channels} channel}", "channel"));
	assert_false(prompt_uses("", "channel"));
	assert_true(prompt_uses(PROMPT_SYSTEM_DEFAULT, "date"));
}

/* 3.5 bytes are a token; what was begun counts whole. */
static void
estimate(void **state)
{
	(void)state;
	assert_int_equal(prompt_estimate(0), 0);
	assert_int_equal(prompt_estimate(1), 1);
	assert_int_equal(prompt_estimate(3), 1);
	assert_int_equal(prompt_estimate(4), 2);
	assert_int_equal(prompt_estimate(7), 2);
	assert_int_equal(prompt_estimate(8), 3);
	assert_int_equal(prompt_estimate(3500), 1000);
}

/* Each message is 35 bytes, so 14 tokens. */
#define M(c) c "----------------------------------"

static void
oldest_exchanges_go(void **state)
{
	struct prompt_rules	 rules = { .context_tokens = 1000, .answer_tokens = 900 };
	struct prompt_turn	 turns[] = {
		person(ANNA, M("1")), bot(M("2")), person(ANNA, M("3")), bot(M("4")),
		person(ANNA, M("5")),
	};
	struct prompt		*p = prompt_new(&rules, &names, turns, 5, false, false);

	(void)state;
	assert_int_equal(prompt_tokens(p), 70);
	assert_int_equal(prompt_turns_n(p), 5);
	prompt_free(&p);
	for (uint64_t room = 69; room >= 42; room--) {
		rules.answer_tokens = 1000 - room;
		p = prompt_new(&rules, &names, turns, 5, false, false);
		/* Not four: an answer without its question is half an exchange. */
		expect(p, "U[" M("3") "]A[" M("4") "]U[" M("5") "]");
		assert_string_equal(prompt_note(p), "3 messages were read, no older ones.");
		prompt_free(&p);
	}
	for (uint64_t room = 41; room >= 14; room--) {
		rules.answer_tokens = 1000 - room;
		p = prompt_new(&rules, &names, turns, 5, true, false);
		expect(p, "U[" M("5") "]");
		assert_string_equal(prompt_note(p), "Only the last message was read.");
		prompt_free(&p);
	}
}

static void
last_message_is_cut(void **state)
{
	struct prompt_rules	 rules = { .context_tokens = 60, .answer_tokens = 20 };
	struct prompt_turn	 turns[3];
	char			 text[2001];
	const struct chat_message *m;
	struct prompt		*p;
	size_t			 n;

	(void)state;
	for (size_t i = 0; i < 2000; i += 2)
		memcpy(text + i, "\xc3\xa4", 2);
	text[2000] = '\0';
	turns[0] = person(BOB, "x");
	turns[1] = person(ANNA, text);
	p = prompt_new(&rules, &names, turns, 2, false, false);
	m = prompt_messages(p, &n);
	assert_int_equal(n, 1);
	assert_true(prompt_tokens(p) <= 40);
	assert_true(m[0].text.n > 80);		/* it did not give away more than it must */
	assert_memory_equal(m[0].text.p + m[0].text.n - 6, " [...]", 6);
	assert_int_equal((m[0].text.n - 6) % 2, 0);	/* between characters */
	assert_string_equal(prompt_note(p),
	    "Only the last message was read. The message was too long and was cut.");
	prompt_free(&p);

	/* A system prompt that is too long itself: the model's own error tells more. */
	rules.system = text;
	turns[0] = person(ANNA, "hello");
	p = prompt_new(&rules, &names, turns, 1, false, false);
	m = prompt_messages(p, &n);
	assert_int_equal(n, 2);
	assert_true(span_is(m[1].text, "hello"));
	assert_string_equal(prompt_note(p), "");
	prompt_free(&p);

	/* Nothing is known about the model's limit. */
	rules = (struct prompt_rules){ 0 };
	turns[0] = person(ANNA, text);
	p = prompt_new(&rules, &names, turns, 1, false, false);
	assert_int_equal(prompt_messages(p, &n)[0].text.n, 2000);
	prompt_free(&p);
}

static void
images(void **state)
{
	static const struct chat_image	 two[] = {
		{ SPAN("a"), "image/png", NULL }, { SPAN("b"), "image/gif", NULL }
	};
	struct prompt_rules		 rules = { .sees = true };
	struct prompt_turn		 turns[4] = {
		person(ANNA, ""), person(ANNA, "look"), bot("nice"), person(BOB, "why")
	};
	const struct chat_message	*m;
	struct prompt			*p;
	size_t				 n;

	(void)state;
	turns[0].images = two;
	turns[0].images_n = 2;
	turns[1].images = two;
	turns[1].images_n = 1;
	turns[1].images_missed_n = 1;
	turns[2].images = two;
	turns[2].images_n = 2;		/* of an assistant: no model takes them */
	turns[3].files_n = 2;
	p = prompt_new(&rules, &names, turns, 4, false, true);
	m = prompt_messages(p, &n);
	assert_int_equal(n, 3);
	assert_int_equal(m[0].images_n, 3);
	assert_string_equal(m[0].images[1].type, "image/gif");
	assert_int_equal(m[1].images_n, 0);
	assert_true(prompt_tokens(p) > 3 * PROMPT_IMAGE_TOKENS);
	assert_string_equal(prompt_note(p), "Older messages could not be read."
	    " An image could not be read. 2 attachments were not read.");
	prompt_free(&p);

	rules.sees = false;
	p = prompt_new(&rules, &names, turns, 4, false, false);
	expect(p, "U[look]A[nice]U[why]");
	m = prompt_messages(p, &n);
	assert_int_equal(m[0].images_n, 0);
	assert_string_equal(prompt_note(p), "3 images were left out: this model does not see."
	    " An image could not be read. 2 attachments were not read.");
	prompt_free(&p);
}

static void
image_types(void **state)
{
	(void)state;
	assert_string_equal(prompt_image_type(SPAN("\x89PNG\r\n\x1a\n....")), "image/png");
	assert_string_equal(prompt_image_type(SPAN("\xff\xd8\xff\xe0")), "image/jpeg");
	assert_string_equal(prompt_image_type(SPAN("GIF89a.")), "image/gif");
	assert_string_equal(prompt_image_type(SPAN("RIFF....WEBPVP8 ")), "image/webp");
	assert_null(prompt_image_type(SPAN("RIFF....WAVE")));
	assert_null(prompt_image_type(SPAN("<svg>")));
	assert_null(prompt_image_type(SPAN_NONE));
}

/* Providers cache prefixes: a longer conversation begins with the bytes of the shorter one. */
static void
prefix_is_stable(void **state)
{
	struct prompt_rules		 rules = { .system = PROMPT_SYSTEM_DEFAULT, .names = true };
	struct prompt_turn		 turns[] = {
		person(ANNA, "1"), bot("2"), person(BOB, "3"), bot("4"), person(ANNA, "5"),
	};
	struct prompt			*a = prompt_new(&rules, &names, turns, 3, false, false);
	struct prompt			*b = prompt_new(&rules, &names, turns, 5, false, false);
	const struct chat_message	*x, *y;
	size_t				 nx, ny;

	(void)state;
	x = prompt_messages(a, &nx);
	y = prompt_messages(b, &ny);
	assert_int_equal(nx, 4);
	assert_int_equal(ny, 6);
	for (size_t i = 0; i < nx; i++) {
		assert_int_equal(x[i].role, y[i].role);
		assert_true(span_eq(x[i].text, y[i].text));
	}
	prompt_free(&a);
	prompt_free(&b);
}

int
main(void)
{
	const struct CMUnitTest	 tests[] = {
		cmocka_unit_test(turns_become_messages),
		cmocka_unit_test(template),
		cmocka_unit_test(estimate),
		cmocka_unit_test(oldest_exchanges_go),
		cmocka_unit_test(last_message_is_cut),
		cmocka_unit_test(images),
		cmocka_unit_test(image_types),
		cmocka_unit_test(prefix_is_stable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
