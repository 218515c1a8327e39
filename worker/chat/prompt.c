/*
 * prompt - see prompt.h.
 */
#include <stdlib.h>

#include "worker/chat/prompt.h"

static const char	 speakers[] =
    "Each message of a person begins with the name of who wrote it, a colon and a blank. "
    "Do not begin your answers with a name.";
static const char	 shortened[] = " [...]";

/* A message for the model. */
struct part {
	bool			 own;
	uint64_t		 author;
	struct buf		 text;
	struct chat_image	*images;
	size_t			 images_n;
	size_t			 turns_n;
};

struct prompt {
	struct buf		 system;
	struct part		*parts;
	size_t			 parts_n, first;	/* those before first are dropped */
	struct chat_message	*messages;
	size_t			 messages_n;
	uint64_t		 tokens;
	bool			 shortened;
	unsigned		 blind_n, missed_n;	/* images not seen, not read */
	unsigned		 files_n;
	struct buf		 note;
};

uint64_t
prompt_estimate(size_t bytes)
{
	return ((uint64_t)bytes * 2 + 6) / 7;
}

/* ---- the template ---- */

/* Length of "{name}" at p and what it stands for, 0 when it is none. */
static size_t
name_at(const char *p, const struct prompt_names *names, const char **value_r)
{
	const struct {
		struct span	 key;
		const char	*value;
	} keys[] = {
		{ SPAN("{date}"), names->date }, { SPAN("{bot}"), names->bot },
		{ SPAN("{channel}"), names->channel }, { SPAN("{guild}"), names->guild },
		{ SPAN("{user}"), names->user },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strncmp(p, keys[i].key.p, keys[i].key.n) == 0) {
			*value_r = keys[i].value == NULL ? "" : keys[i].value;
			return keys[i].key.n;
		}
	return 0;
}

void
prompt_fill(const char *template, const struct prompt_names *names, struct buf *out)
{
	const char	*value;
	size_t		 n;

	for (const char *p = template; *p != '\0'; p += n) {
		n = *p == '{' ? name_at(p, names, &value) : 0;
		if (n > 0)
			buf_add_span(out, span_of(value));
		else {
			n = 1 + strcspn(p + 1, "{");
			buf_add(out, p, n);
		}
	}
}

bool
prompt_uses(const char *template, const char *name)
{
	size_t	 n = strlen(name);

	for (const char *p = template; (p = strchr(p, '{')) != NULL; p++)
		if (strncmp(p + 1, name, n) == 0 && p[1 + n] == '}')
			return true;
	return false;
}

const char *
prompt_image_type(struct span d)
{
	if (d.n >= 8 && memcmp(d.p, "\x89PNG\r\n\x1a\n", 8) == 0)
		return "image/png";
	if (d.n >= 3 && memcmp(d.p, "\xff\xd8\xff", 3) == 0)
		return "image/jpeg";
	if (d.n >= 6 && (memcmp(d.p, "GIF87a", 6) == 0 || memcmp(d.p, "GIF89a", 6) == 0))
		return "image/gif";
	if (d.n >= 12 && memcmp(d.p, "RIFF", 4) == 0 && memcmp(d.p + 8, "WEBP", 4) == 0)
		return "image/webp";
	return NULL;
}

/* ---- parts ---- */

static uint64_t
part_tokens(const struct part *p)
{
	return prompt_estimate(p->text.n) + PROMPT_MESSAGE_TOKENS +
	    p->images_n * PROMPT_IMAGE_TOKENS;
}

static void
count_left_out(struct prompt *p, const struct prompt_rules *rules, const struct prompt_turn *t)
{
	p->missed_n += t->images_missed_n;
	p->files_n += t->files_n;
	if (!t->own && !rules->sees)
		p->blind_n += (unsigned)t->images_n;
}

static void
add_turn(struct prompt *p, const struct prompt_rules *rules, const struct prompt_turn *t)
{
	struct part	*last = p->parts_n == 0 ? NULL : &p->parts[p->parts_n - 1];
	size_t		 seen_n = rules->sees && !t->own ? t->images_n : 0;

	if (last == NULL || last->own != t->own || last->author != t->author) {
		p->parts = mem_grow(p->parts, p->parts_n + 1, sizeof(*p->parts));
		last = &p->parts[p->parts_n++];
		*last = (struct part){ .own = t->own, .author = t->author };
		if (rules->names && !t->own)
			buf_printf(&last->text, "%s: ", t->name);
	} else
		buf_add(&last->text, "\n", 1);
	buf_add_span(&last->text, span_of(t->text));
	last->turns_n++;
	if (seen_n == 0)
		return;
	last->images = mem_grow(last->images, last->images_n + seen_n, sizeof(*last->images));
	memcpy(last->images + last->images_n, t->images, seen_n * sizeof(*t->images));
	last->images_n += seen_n;
}

/* ---- the budget ---- */

static void
count(struct prompt *p)
{
	p->tokens = p->system.n == 0 ? 0 : prompt_estimate(p->system.n) + PROMPT_MESSAGE_TOKENS;
	for (size_t i = p->first; i < p->parts_n; i++)
		p->tokens += part_tokens(&p->parts[i]);
}

/* Where the next exchange begins: at the first word of people after an answer. */
static size_t
next_exchange(const struct prompt *p)
{
	bool	 answered = false;

	for (size_t i = p->first; i < p->parts_n; i++) {
		if (answered && !p->parts[i].own)
			return i;
		answered = answered || p->parts[i].own;
	}
	return p->first;
}

/* The text is all that is left to cut; its beginning says what is asked, mostly. */
static void
shorten(struct prompt *p, uint64_t over)
{
	struct buf	*text = &p->parts[p->parts_n - 1].text;
	struct span	 s = buf_span(text);
	uint64_t	 bytes = over * 7 / 2 + sizeof(shortened);
	size_t		 keep = bytes >= s.n ? 0 : s.n - (size_t)bytes;

	if (keep == 0)
		return;		/* the system prompt alone is too long: the model will say so */
	while (keep > 0 && ((unsigned char)s.p[keep] & 0xc0) == 0x80)
		keep--;
	text->n = keep;
	buf_add(text, shortened, sizeof(shortened) - 1);
	p->shortened = true;
}

static void
fit(struct prompt *p, const struct prompt_rules *rules)
{
	uint64_t	 room = rules->context_tokens > rules->answer_tokens ?
	    rules->context_tokens - rules->answer_tokens : rules->context_tokens / 2;
	size_t		 next;

	count(p);
	if (rules->context_tokens == 0)
		return;
	while (p->tokens > room && (next = next_exchange(p)) != p->first) {
		p->first = next;
		count(p);
	}
	/* No answer is left: then the oldest words of people before the last. */
	while (p->tokens > room && p->first + 1 < p->parts_n) {
		p->first++;
		count(p);
	}
	if (p->tokens > room && p->parts_n > 0) {
		shorten(p, p->tokens - room);
		count(p);
	}
}

/* ---- the note ---- */

static void
say(struct prompt *p, const char *one, const char *many, size_t n)
{
	if (p->note.n > 0)
		buf_add(&p->note, " ", 1);
	if (n == 1)
		buf_add_span(&p->note, span_of(one));
	else
		buf_printf(&p->note, "%zu %s", n, many);
}

static void
write_note(struct prompt *p, bool cut, bool lost)
{
	if (cut || p->first > 0)
		say(p, "Only the last message was read.", "messages were read, no older ones.",
		    prompt_turns_n(p));
	else if (lost)
		say(p, "Older messages could not be read.", "", 1);
	if (p->shortened)
		say(p, "The message was too long and was cut.", "", 1);
	if (p->blind_n > 0)
		say(p, "An image was left out: this model does not see.",
		    "images were left out: this model does not see.", p->blind_n);
	if (p->missed_n > 0)
		say(p, "An image could not be read.", "images could not be read.", p->missed_n);
	if (p->files_n > 0)
		say(p, "An attachment was not read.", "attachments were not read.", p->files_n);
	buf_add(&p->note, "", 1);
}

/* ---- the whole ---- */

static void
write_system(struct prompt *p, const struct prompt_rules *rules, const struct prompt_names *names)
{
	if (rules->system != NULL)
		prompt_fill(rules->system, names, &p->system);
	if (!rules->names)
		return;
	if (p->system.n > 0)
		buf_add(&p->system, "\n\n", 2);
	buf_add_span(&p->system, SPAN(speakers));
}

static void
write_messages(struct prompt *p)
{
	p->messages = mem_array(p->parts_n + 1, sizeof(*p->messages));
	if (p->system.n > 0)
		p->messages[p->messages_n++] = (struct chat_message){
			.role = CHAT_SYSTEM, .text = buf_span(&p->system)
		};
	for (size_t i = p->first; i < p->parts_n; i++)
		p->messages[p->messages_n++] = (struct chat_message){
			.role = p->parts[i].own ? CHAT_ASSISTANT : CHAT_USER,
			.text = buf_span(&p->parts[i].text),
			.images = p->parts[i].images,
			.images_n = p->parts[i].images_n,
		};
}

/* What was only an image that is left out would be an empty message, which some refuse. */
static bool
is_said(const struct prompt_rules *rules, const struct prompt_turn *t)
{
	return t->text[0] != '\0' ||
	    (!t->own && (rules->names || (rules->sees && t->images_n > 0)));
}

struct prompt *
prompt_new(const struct prompt_rules *rules, const struct prompt_names *names,
    const struct prompt_turn *turns, size_t turns_n, bool cut, bool lost)
{
	struct prompt	*p = mem_alloc(sizeof(*p));

	write_system(p, rules, names);
	for (size_t i = 0; i < turns_n; i++) {
		count_left_out(p, rules, &turns[i]);
		if (i + 1 == turns_n || is_said(rules, &turns[i]))
			add_turn(p, rules, &turns[i]);
	}
	fit(p, rules);
	write_note(p, cut, lost);
	write_messages(p);
	return p;
}

void
prompt_free(struct prompt **pp)
{
	struct prompt	*p = *pp;

	if (p == NULL)
		return;
	for (size_t i = 0; i < p->parts_n; i++) {
		buf_fini(&p->parts[i].text);
		free(p->parts[i].images);
	}
	free(p->parts);
	free(p->messages);
	buf_fini(&p->system);
	buf_fini(&p->note);
	free(p);
	*pp = NULL;
}

const struct chat_message *
prompt_messages(const struct prompt *p, size_t *n_r)
{
	*n_r = p->messages_n;
	return p->messages;
}

uint64_t
prompt_tokens(const struct prompt *p)
{
	return p->tokens;
}

size_t
prompt_turns_n(const struct prompt *p)
{
	size_t	 n = 0;

	for (size_t i = p->first; i < p->parts_n; i++)
		n += p->parts[i].turns_n;
	return n;
}

const char *
prompt_note(const struct prompt *p)
{
	return buf_span(&p->note).p;
}
