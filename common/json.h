/*
 * json - a pull scanner and a writer for the hot path.  Trees are jansson's business.
 *
 * The scanner allocates nothing and copies nothing; nesting is bounded (64).  It checks
 * structure, strings and literals; numbers are delivered as text.  Pure.
 *
 * No name here is one of jansson's: one file may include both, one program link both.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include "common/mem.h"
#include "common/span.h"

enum json_token {
	JSON_TOK_BAD = -1,	/* not JSON; final */
	JSON_TOK_END,		/* the document is complete */
	JSON_TOK_OBJECT, JSON_TOK_OBJECT_END, JSON_TOK_ARRAY, JSON_TOK_ARRAY_END,
	JSON_TOK_KEY, JSON_TOK_STRING,	/* text: between the quotes, escapes as they stand */
	JSON_TOK_NUMBER, JSON_TOK_TRUE, JSON_TOK_FALSE, JSON_TOK_NULL,
};

#define JSON_DEPTH_MAX	64

struct json_scan {
	struct span	 in;
	size_t		 off;
	unsigned	 depth;
	uint64_t	 is_object;	/* bit per level */
	unsigned	 expect;	/* internal */
	struct span	 text;		/* of the last KEY, STRING, NUMBER */
	/* offset of the last token's first byte (the quote of a string) */
	size_t		 start;
};

void		 json_scan_init(struct json_scan *, struct span in);
enum json_token	 json_next(struct json_scan *);
/*
 * After KEY, or before a value: skip one whole value; range_r (may be NULL) is its text.  False:
 * not JSON.
 */
bool		 json_skip(struct json_scan *, struct span *range_r);
/*
 * Undo escapes into out (UTF-8; lone surrogates become U+FFFD).  False when malformed or longer
 * than max_bytes.
 */
bool		 json_unescape(struct span text, struct buf *out, size_t max_bytes);

/*
 * One value of a flat look-up: the member `key` of the object in; strings without quotes, escapes
 * as they stand.
 */
bool		 json_member(struct span in, const char *key, enum json_token *type_r,
		    struct span *value_r);
/* Snowflake member: a string or number of decimal digits. */
bool		 json_member_u64(struct span in, const char *key, uint64_t *v_r);

/* Writer: appends to a buf; commas and nesting are its business (asserted). */
struct json_out {
	struct buf	*out;
	unsigned	 depth;
	uint64_t	 has_item;	/* bit per level: a comma is due */
	uint64_t	 is_object;	/* bit per level */
	bool		 after_key;
};
void	 json_out_init(struct json_out *, struct buf *);
void	 json_obj(struct json_out *);
void	 json_obj_end(struct json_out *);
void	 json_arr(struct json_out *);
void	 json_arr_end(struct json_out *);
void	 json_key(struct json_out *, const char *);
void	 json_str(struct json_out *, struct span);	/* escapes; invalid UTF-8 becomes U+FFFD */
void	 json_cstr(struct json_out *, const char *);	/* NULL becomes null */
void	 json_u64(struct json_out *, uint64_t);
void	 json_id(struct json_out *, uint64_t);		/* a snowflake: quoted digits */
void	 json_bool(struct json_out *, bool);
void	 json_nil(struct json_out *);
void	 json_raw(struct json_out *, struct span);	/* a whole value, already JSON */
/* Key and value in one. */
void	 json_kv_str(struct json_out *, const char *key, struct span);
void	 json_kv_cstr(struct json_out *, const char *key, const char *);
void	 json_kv_u64(struct json_out *, const char *key, uint64_t);
void	 json_kv_id(struct json_out *, const char *key, uint64_t);
void	 json_kv_bool(struct json_out *, const char *key, bool);
/* 16 hexadecimal digits, as deliveries are written everywhere; 0 becomes null. */
void	 json_kv_hex(struct json_out *, const char *key, uint64_t);
/* UINT64_MAX, "not known" and "never", becomes null: no number that someone may add up. */
void	 json_kv_known(struct json_out *, const char *key, uint64_t);

#endif
