/*
 * poison - see poison.h.
 */
#include "supervisor/delivery/poison.h"

enum poison_verdict
poison_judge(bool charge, bool named, bool running, bool suspect, uint64_t charges, uint64_t limit)
{
	if (!charge || (named && !running))
		return POISON_RETURN;
	if (!named && !suspect)
		return POISON_SUSPECT;
	return charges + 1 >= limit ? POISON_ASIDE : POISON_CHARGE;
}
