/*
 * Opens any bytes as a journal, goes on with it, opens it again.
 *
 * A first byte of 1 repairs the sums of all records in the rest, so that their meaning is reached
 * too.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/log.h"
#include "supervisor/journal/journal.h"
#include "supervisor/journal/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/fakes.h"

#define IMAGE_MAX	(JLOG_BYTES_MIN * 2)

static void
repair(char *image, size_t n)
{
	struct jlog_rec	*r;
	uint32_t	 magic;

	for (size_t off = JLOG_HEADER_BYTES; off + sizeof(*r) <= n; off += 8) {
		r = (struct jlog_rec *)(void *)(image + off);
		memcpy(&magic, &r->magic, sizeof(magic));
		if (magic != (0xfff80000u | JLOG_VERSION) || r->bytes > n - off - sizeof(*r))
			continue;
		r->check = jlog_sum(r);
		off += jlog_size(r->bytes) - 8;
	}
}

static void
go_on(struct journal *j)
{
	struct journal_event	 ev;
	struct delivery		*d;
	struct effect		*e;
	struct journal_gap	 gap;
	struct buf		 out;

	memset(&ev, 0, sizeof(ev));
	memset(&gap, 0, sizeof(gap));
	gap.rows_n = journal_gap_rows(j);
	journal_gap_open(j, &gap);
	memset(&out, 0, sizeof(out));
	ev.pool = SPAN("echo");
	ev.name = SPAN("MESSAGE_CREATE");
	ev.body = SPAN("{\"id\":\"1\",\"content\":\"!ping\"}");
	for (uint64_t id = 1; id < 400; id++) {
		ev.delivery = ev.object = id;
		ev.key = id % 90;
		ev.said = true;
		if (journal_event(j, &ev, id, &d) != 1)
			continue;
		journal_given(j, d, "echo.0#1", id);
		journal_asked(j, d, 1, SPAN("POST /x"), id, &e);
		journal_effect(j, d, 1, 200, id);
		if (id % 8 != 0)
			journal_finished(j, d, id);
	}
	while ((d = journal_first(j, DLV_GIVEN)) != NULL)
		journal_returned(j, d, true);
	journal_explain(j, 1, &out);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct journal_report	 r;
	struct journal		*j;
	char			*image, *again;
	uint64_t		 bytes;

	log_redirect(quiet, NULL);
	if (n < 2 || n - 1 > IMAGE_MAX)
		return 0;
	image = calloc(1, IMAGE_MAX);
	memcpy(image, data + 1, n - 1);
	if (data[0] == 1)
		repair(image, n - 1);
	j = journal_open_image(image, n - 1, JLOG_BYTES_MIN, 1, &r);
	go_on(j);
	bytes = journal_log(j)->bytes;
	again = malloc(bytes);
	memcpy(again, journal_log(j)->base, bytes);
	journal_close(&j);
	/* What was written over damage is whole. */
	j = journal_open_image(again, bytes, bytes, 1, &r);
	CHECK(!r.damaged && !r.created);
	journal_close(&j);
	free(again);
	free(image);
	return 0;
}
