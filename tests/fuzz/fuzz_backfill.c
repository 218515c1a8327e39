/*
 * A page of messages as REST brings it: whatever it is, what is taken from it lies inside and is in
 * order.
 */
#include <stdint.h>
#include <stdlib.h>

#include "supervisor/delivery/backfill.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct backfill_message	 v[BACKFILL_PAGE];
	struct span		 page = span_make(data, n);
	struct buf		 body = { 0 };
	int			 k = backfill_page(page, v);

	CHECK(k >= -1 && k <= BACKFILL_PAGE);
	for (int i = 0; i < k; i++) {
		CHECK(v[i].text.p >= page.p && v[i].text.p + v[i].text.n <= page.p + n);
		CHECK(v[i].id != 0 && (i == 0 || v[i - 1].id <= v[i].id));
		backfill_body(v[i].text, n % 2, &body);
		CHECK(body.n >= v[i].text.n);
	}
	buf_fini(&body);
	return 0;
}
