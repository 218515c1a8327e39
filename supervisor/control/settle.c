/*
 * settle - see settle.h.
 */
#include "common/json.h"
#include "common/tables.h"
#include "supervisor/control/settle.h"

enum error
settle_again(const struct request_rule *rule, uint64_t ordinal, uint64_t first_ms, uint64_t now_ms)
{
	switch (rule->settle) {
	case SETTLE_REPEAT:
	case SETTLE_CODE:
		return ERR_OK;
	case SETTLE_NONCE:
		if (ordinal == 0 || now_ms + 1000 < first_ms || now_ms >= first_ms + NONCE_MS)
			return ERR_EAMBIGUOUS;
		return ERR_OK;
	case SETTLE_DOUBT:
		break;
	}
	return ERR_EAMBIGUOUS;
}

bool
settle_by_code(const struct request_rule *rule, const struct msg_RESULT *res)
{
	uint64_t	 code;

	return res->error == ERR_EHTTP && rule->settle == SETTLE_CODE &&
	    json_member_u64(res->body, "code", &code) && code == rule->code;
}

bool
settle_is_final(const struct msg_RESULT *res)
{
	if (res->error == ERR_OK)
		return true;
	return res->error == ERR_EHTTP && res->status >= 400 && res->status < 500 &&
	    res->status != 401 && res->status != 408 && res->status != 429;
}

bool
settle_is_undone(const struct msg_RESULT *res)
{
	return res->error == ERR_EUNREACHABLE || res->error == ERR_ELIMITED ||
	    res->error == ERR_ERETRY;
}
