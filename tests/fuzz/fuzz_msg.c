/*
 * msg: whatever the bytes, no crash; what is accepted can be packed again and says the same.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/msg.h"
#include "tests/fuzz/fuzz.h"

static void
read_list(struct msg_list l, size_t arity, size_t rows_max)
{
	struct msg_list_iter	 it = { l.raw, 0 };
	struct span		 s;
	uint64_t		 v;
	size_t			 n = 0, before;

	while (msg_list_more(&it)) {
		before = it.off;
		if (!msg_list_next_u64(&it, &v)) {
			it.off = before;
			CHECK(msg_list_next_str(&it, &s));
		}
		n++;
	}
	CHECK(n % arity == 0 && n / arity <= rows_max);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static msgpack_zone	*zone;
	struct msg_in		 in, again;
	const struct msg_def	*d;
	const struct msg_field	*f;
	const char		*a, *b;
	struct buf		 out = { 0 };
	size_t			 i;

	if (zone == NULL)
		zone = msgpack_zone_new(1024);
	if (msg_unpack(span_make(data, n), zone, &in) == -1) {
		CHECK(in.why != NULL && in.why[0] != '\0');
		return 0;
	}
	d = msg_def(in.type);
	CHECK(d != NULL && d->fields != NULL);
	CHECK(msg_pack(&out, in.type, &in.HELLO, NULL) == 0);
	CHECK(out.n <= n);	/* the packer takes the shortest form */
	CHECK(msg_unpack(buf_span(&out), zone, &again) == 0 && again.type == in.type);
	for (i = 0; i < d->fields_n; i++) {
		f = &d->fields[i];
		a = (const char *)&in.HELLO + f->offset;
		b = (const char *)&again.HELLO + f->offset;
		if (f->kind == MSG_KIND_U64)
			CHECK(memcmp(a, b, sizeof(uint64_t)) == 0);
		else
			CHECK(span_eq(*(const struct span *)(const void *)a,
			    *(const struct span *)(const void *)b));
		if (f->kind == MSG_KIND_LIST)
			read_list(*(const struct msg_list *)(const void *)a, (size_t)f->min,
			    (size_t)f->max);
	}
	buf_fini(&out);
	return 0;
}
