/*
 * payload - see payload.h.
 */
#include <string.h>

#include "common/json.h"
#include "common/url.h"
#include "supervisor/gateway/payload.h"

void
payload_beat(struct buf *out, uint64_t seq)
{
	if (seq == 0)
		buf_printf(out, "{\"op\":1,\"d\":null}");
	else
		buf_printf(out, "{\"op\":1,\"d\":%llu}", (unsigned long long)seq);
}

/* {"op":N,"d":{"token":T ... with all the room that it may need, see the header. */
static void
begin(struct json_out *o, struct buf *out, uint64_t op, const char *token)
{
	(void)buf_room(out, PAYLOAD_MAX_BYTES);
	json_out_init(o, out);
	json_obj(o);
	json_kv_u64(o, "op", op);
	json_key(o, "d");
	json_obj(o);
	json_kv_cstr(o, "token", token);
}

static void
end(struct json_out *o)
{
	json_obj_end(o);
	json_obj_end(o);
}

void
payload_identify(struct buf *out, const char *token, uint64_t intents, uint32_t shard,
    uint32_t shards, struct span presence)
{
	struct json_out	 o;

	begin(&o, out, 2, token);
	json_kv_u64(&o, "intents", intents);
	json_key(&o, "properties");
	json_obj(&o);
	json_kv_cstr(&o, "os", "linux");
	json_kv_cstr(&o, "browser", "bulkhead");
	json_kv_cstr(&o, "device", "bulkhead");
	json_obj_end(&o);
	json_kv_u64(&o, "large_threshold", 50);
	if (shards > 1) {
		json_key(&o, "shard");
		json_arr(&o);
		json_u64(&o, shard);
		json_u64(&o, shards);
		json_arr_end(&o);
	}
	if (presence.n > 0) {
		json_key(&o, "presence");
		json_raw(&o, presence);
	}
	end(&o);
}

void
payload_presence(struct buf *out, struct span presence)
{
	struct json_out	 o;

	json_out_init(&o, out);
	json_obj(&o);
	json_kv_u64(&o, "op", 3);
	json_key(&o, "d");
	json_raw(&o, presence);
	json_obj_end(&o);
}

void
payload_resume(struct buf *out, const char *token, const char *session_id, uint64_t seq)
{
	struct json_out	 o;

	begin(&o, out, 6, token);
	json_kv_cstr(&o, "session_id", session_id);
	json_kv_u64(&o, "seq", seq);
	end(&o);
}

void
payload_member(struct buf *out, uint64_t guild, uint64_t user)
{
	struct json_out	 o;

	json_out_init(&o, out);
	json_obj(&o);
	json_kv_u64(&o, "op", 8);
	json_key(&o, "d");
	json_obj(&o);
	json_kv_id(&o, "guild_id", guild);
	json_key(&o, "user_ids");
	json_arr(&o);
	json_id(&o, user);
	json_arr_end(&o);
	end(&o);
}

bool
payload_text(struct span d, const char *key, char *dst, size_t dst_bytes)
{
	enum json_token	 type;
	struct span	 v;
	struct buf	 text = { 0 };
	bool		 ok;

	if (!json_member(d, key, &type, &v) || type != JSON_TOK_STRING)
		return false;
	ok = json_unescape(v, &text, dst_bytes - 1) && text.n > 0 &&
	    memchr(text.p + text.off, '\0', text.n) == NULL;
	if (ok)
		(void)span_copy(buf_span(&text), dst, dst_bytes);
	buf_fini(&text);
	return ok;
}

bool
payload_url(struct span d, const char *key, char *dst, size_t dst_bytes)
{
	struct url	 u;

	return payload_text(d, key, dst, dst_bytes) && url_parse(dst, URL_WS, &u) == NULL;
}

size_t
payload_ids(struct span d, const char *key, uint64_t *v, size_t max)
{
	struct json_scan	 scan, ahead;
	enum json_token		 type;
	struct span		 list, one;
	size_t			 n = 0;

	if (max == 0 || !json_member(d, key, &type, &list) || type != JSON_TOK_ARRAY)
		return 0;
	json_scan_init(&scan, list);
	(void)json_next(&scan);
	while (n < max) {
		ahead = scan;
		if (json_next(&ahead) != JSON_TOK_OBJECT || !json_skip(&scan, &one))
			break;
		n += json_member_u64(one, "id", &v[n]) && v[n] != 0;
	}
	return n;
}

uint64_t
payload_id(struct span d, const char *object, const char *key)
{
	enum json_token	 type;
	struct span	 v;
	uint64_t	 id = 0;

	if (json_member(d, object, &type, &v) && type == JSON_TOK_OBJECT)
		(void)json_member_u64(v, key, &id);
	return id;
}
