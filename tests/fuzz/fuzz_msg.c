/*
 * msg: whatever the bytes, no crash; what is accepted can be packed again and says the same.
 */
#include <stdint.h>
#include <stdlib.h>

#include "common/msg.h"

int	 LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
require(bool ok)
{
	if (!ok)
		abort();
}

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
			require(msg_list_next_str(&it, &s));
		}
		n++;
	}
	require(n % arity == 0 && n / arity <= rows_max);
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
		require(in.why != NULL && in.why[0] != '\0');
		return 0;
	}
	d = msg_def(in.type);
	require(d != NULL && d->fields != NULL);
	require(msg_pack(&out, in.type, &in.HELLO, NULL) == 0);
	require(out.n <= n);	/* the packer takes the shortest form */
	require(msg_unpack(buf_span(&out), zone, &again) == 0 && again.type == in.type);
	for (i = 0; i < d->fields_n; i++) {
		f = &d->fields[i];
		a = (const char *)&in.HELLO + f->offset;
		b = (const char *)&again.HELLO + f->offset;
		if (f->kind == MSG_KIND_U64)
			require(memcmp(a, b, sizeof(uint64_t)) == 0);
		else
			require(span_eq(*(const struct span *)(const void *)a,
			    *(const struct span *)(const void *)b));
		if (f->kind == MSG_KIND_LIST)
			read_list(*(const struct msg_list *)(const void *)a, (size_t)f->min,
			    (size_t)f->max);
	}
	buf_fini(&out);
	return 0;
}
