/*
 * open - from a file to the table and the books, whatever became of it.  See journal.h.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <linux/magic.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/count.h"
#include "common/log.h"
#include "proto/contract.h"
#include "supervisor/journal/state.h"

#define CHAINS_FIRST	1024

/* ---- reading ---- */

/*
 * An increment for a delivery that is not known, while damage is.  Only its id is left: it must not
 * be answered again.
 */
struct lost {
	uint64_t	*id;
	size_t		 n;
};

static struct delivery *
known(struct journal *j, uint64_t id, struct lost *lost)
{
	struct delivery	*d;

	if ((d = journal_find(j, id)) == NULL && lost != NULL && id != 0) {
		lost->id = mem_grow(lost->id, lost->n + 1, sizeof(*lost->id));
		lost->id[lost->n++] = id;
	}
	return d;
}

/*
 * Take one record into the table.  Nothing is accounted yet.  False: it passed its sum and makes no
 * sense, so this build did not write it.
 */
static bool
replay(struct journal *j, uint64_t off, struct lost *lost)
{
	const struct jlog_rec	*r = jlog_at(&j->log, off);
	struct span		 in = jlog_payload(&j->log, off);
	struct delivery		*d;
	struct effect		*e;
	uint64_t		 id;

	switch ((enum jlog_kind)r->kind) {
	case REC_PAD:
		return true;
	case REC_DLV:
		if (in.n < sizeof(struct dlv_rec))
			return false;
		memcpy(&id, in.p, sizeof(id));
		if ((d = dlv_find(j, id)) != NULL) {
			dlv_remove(j, d);
			dlv_clear(d);
			memset(d, 0, sizeof(*d));
		} else
			d = mem_alloc(sizeof(*d));
		if (!dlv_decode(in, d)) {
			dlv_clear(d);
			free(d);
			return false;
		}
		d->place = off;
		d->home_bytes = space_home_bytes(j, off);
		dlv_insert(j, d);
		if (d->order > j->order)
			j->order = d->order;
		return true;
	case REC_GIVEN: {
		struct given_rec	 g;

		if (!rec_take(&in, &g, sizeof(g)) || rec_has_nul(in))
			return false;
		if ((d = known(j, g.id, lost)) != NULL && d->state != DLV_FINISHED) {
			d->state = DLV_GIVEN;
			d->given_ms = g.now_ms;
			d->attempt = (uint8_t)g.attempt;
			d->worker_n = (uint8_t)span_copy(in, d->worker, sizeof(d->worker));
		}
		return true;
	}
	case REC_RETURNED: {
		struct returned_rec	 b;

		if (!rec_take(&in, &b, sizeof(b)))
			return false;
		if ((d = known(j, b.id, lost)) != NULL && d->state != DLV_FINISHED) {
			d->state = DLV_WAITING;
			d->charges = (uint8_t)b.charges;
			free(d->report);
			d->report = NULL;
		}
		return true;
	}
	case REC_ASKED: {
		struct asked_rec	 a;

		if (!rec_take(&in, &a, sizeof(a)) || in.n > JOURNAL_ROUTE_MAX || rec_has_nul(in))
			return false;
		if ((d = known(j, a.id, lost)) != NULL && delivery_effect(d, a.ordinal) == NULL &&
		    d->effects_n < PROTO_EFFECTS_MAX)
			effect_add(d, a.ordinal, a.now_ms, in);
		return true;
	}
	case REC_EFFECT: {
		struct done_rec		 f;

		if (!rec_take(&in, &f, sizeof(f)))
			return false;
		if ((d = known(j, f.id, lost)) != NULL && (e = delivery_effect(d, f.ordinal)) != NULL) {
			e->done = true;
			e->status = f.status;
			e->id = f.object;
		}
		return true;
	}
	case REC_ASIDE: {
		struct aside_rec	 a;

		if (!rec_take(&in, &a, sizeof(a)) || a.aside >= ASIDE__KINDS || rec_has_nul(in) ||
		    in.n > JOURNAL_REPORT_MAX)
			return false;
		if ((d = known(j, a.id, lost)) != NULL && d->state != DLV_FINISHED) {
			d->state = DLV_ASIDE;
			d->aside = (enum dlv_aside)a.aside;
			d->finished_ms = a.now_ms;
			free(d->report);
			d->report = mem_spandup(in);
		}
		return true;
	}
	case REC_CANCELLED:
		if (!rec_take(&in, &id, sizeof(id)))
			return false;
		if ((d = known(j, id, lost)) != NULL && d->state != DLV_FINISHED)
			d->ending = ENDS_CANCELLED;
		return true;
	case REC_RETRIED: {
		struct retried_rec	 b;

		if (!rec_take(&in, &b, sizeof(b)))
			return false;
		if ((d = known(j, b.id, lost)) != NULL && d->state == DLV_ASIDE) {
			d->state = DLV_WAITING;
			d->charges = 0;
			d->finished_ms = b.now_ms;
			free(d->report);
			d->report = NULL;
		}
		return true;
	}
	case REC_DROPPED:
		if (!rec_take(&in, &id, sizeof(id)))
			return false;
		if ((d = dlv_find(j, id)) != NULL) {
			dlv_remove(j, d);
			dlv_clear(d);
			free(d);
		}
		return true;
	case REC_IDENTITY: {
		struct gw_identity	 who;

		if (in.n != sizeof(who) || !rec_take(&in, &who, sizeof(who)))
			return false;
		who.session_id[sizeof(who.session_id) - 1] =
		    who.resume_url[sizeof(who.resume_url) - 1] = '\0';
		peers_identity_set(j, &who)->place = off;
		return true;
	}
	case REC_BUDGET:
		if (in.n != sizeof(j->budget))
			return false;
		memcpy(&j->budget, in.p, sizeof(j->budget));
		j->budget_place = off;
		return true;
	case REC_CHILD: {
		struct journal_child	 c;
		uint8_t			 raw[sizeof(c)];

		if (in.n != sizeof(c))
			return false;
		memcpy(raw, in.p, sizeof(c));
		raw[offsetof(struct journal_child, rest)] =
		    raw[offsetof(struct journal_child, rest)] != 0;
		memcpy(&c, raw, sizeof(c));
		c.tag[sizeof(c.tag) - 1] = '\0';
		peers_child_set(j, &c)->place = off;
		return true;
	}
	case REC_CHILD_GONE: {
		struct child	*k;

		if (!rec_take(&in, &id, sizeof(id)))
			return false;
		if ((k = peers_child(j, (pid_t)id)) != NULL)
			*k = j->child[--j->child_n];
		return true;
	}
	case REC_PRESENCE:
		if (in.n > sizeof(j->presence))
			return false;
		if (in.n > 0)
			memcpy(j->presence, in.p, in.n);
		j->presence_n = in.n;
		j->presence_place = off;
		return true;
	case REC_CHANNEL:
	case REC_CHANNEL_GONE:
	case REC_GAP:
		return channels_replay(j, (enum jlog_kind)r->kind, in, off);
	}
	return false;
}

static int
by_arrival(const void *va, const void *vb)
{
	const struct delivery *a = *(struct delivery *const *)va,
			      *b = *(struct delivery *const *)vb;

	if (a->state != b->state)
		return a->state < b->state ? -1 : 1;
	if (a->state >= DLV_ASIDE && a->finished_ms != b->finished_ms)
		return a->finished_ms < b->finished_ms ? -1 : 1;
	if (a->order != b->order)
		return a->order < b->order ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

static uint64_t
newest_seq(struct journal *j, const struct identity *i)
{
	struct delivery	*d;
	uint64_t	 seq;

	if (jlog_seq_get(&j->log, i->id.shard, i->session, &seq))
		return seq;
	seq = i->id.seq;
	EACH_DELIVERY(j, d)
		if (d->shard == i->id.shard && d->session == i->session && d->seq > seq)
			seq = d->seq;
	return seq;
}

/* The table and the books from what the look found.  True when the log can go on as it is. */
static bool
rebuild(struct journal *j, const struct jlog_check *c, uint64_t now_ms)
{
	struct lost	 lost = { NULL, 0 };
	struct delivery	*d, **all;
	bool		 whole = !c->rewrite;
	size_t		 n = 0;

	j->opened.records_n = c->n;
	j->opened.damaged_n = c->damaged_n;
	for (size_t i = 0; i < c->n; i++)
		if (!replay(j, c->v[i].off, c->hole_lsn != 0 ? &lost : NULL)) {
			j->opened.damaged_n++;
			whole = false;
		}
	for (size_t i = 0; i < lost.n; i++)
		if (journal_find(j, lost.id[i]) == NULL) {
			d = mem_alloc(sizeof(*d));
			d->id = lost.id[i];
			d->state = DLV_FINISHED;
			d->received_ms = d->finished_ms = now_ms;
			dlv_insert(j, d);
		}
	free(lost.id);

	EACH_DELIVERY(j, d) {
		n++;
		if (d->state > DLV_GIVEN || d->place == 0 ||
		    jlog_at(&j->log, d->place)->lsn > c->hole_lsn)
			continue;
		d->state = DLV_ASIDE;
		d->aside = ASIDE_DOUBT;
		d->finished_ms = now_ms;
		free(d->report);
		d->report = mem_strdup("recorded before damage to the journal");
		j->opened.doubt_n++;
		COUNT(deliveries_doubt);
	}
	all = mem_array(n + 1, sizeof(*all));
	n = 0;
	EACH_DELIVERY(j, d)
		all[n++] = d;
	if (n > 1)
		qsort(all, n, sizeof(*all), by_arrival);
	for (size_t i = 0; i < n; i++)
		space_account(j, all[i], false);
	free(all);
	for (size_t i = 0; i < j->identity_n; i++) {
		space_small_add(j, j->identity[i].place);
		j->identity[i].id.seq = newest_seq(j, &j->identity[i]);
	}
	for (size_t i = 0; i < j->child_n; i++)
		space_small_add(j, j->child[i].place);
	if (j->budget_place != 0)
		space_small_add(j, j->budget_place);
	if (j->presence_place != 0)
		space_small_add(j, j->presence_place);
	channels_rebuilt(j);
	space_expire(j);
	return whole;
}

/* Do all unfinished survivors and the room that they need fit into so many bytes? */
static bool
survivors_fit(struct journal *j, uint64_t bytes)
{
	uint64_t	 cap = bytes - JLOG_HEADER_BYTES;
	uint64_t	 live = j->live - j->bytes[DLV_FINISHED];

	return live + 3 * space_largest(j, 0) + SLACK_BYTES(cap) <= cap;
}

/* Write all that is live into an empty log and go on there. */
static void
move_to(struct journal *j, struct jlog *to)
{
	struct delivery	*d;
	struct dlv_list	*l;
	uint64_t	 cap = jlog_capacity(to);

	while (j->live + 3 * space_largest(j, 0) + SLACK_BYTES(cap) > cap ||
	    j->bytes[DLV_FINISHED] > cap / 4) {
		if ((d = TAILQ_FIRST(&j->state[DLV_FINISHED])) == NULL &&
		    (d = TAILQ_FIRST(&j->state[DLV_ASIDE])) == NULL)
			break;
		if (d->state == DLV_ASIDE)
			space_count_dropped(j, "dead letter", d->pool, d->name, d->id, d->object);
		dlv_forget(j, d);
	}
	jlog_format(to);
	for (size_t i = 0; i < j->identity_n; i++) {
		struct identity	*id = &j->identity[i];

		if (jlog_free_bytes(to) < 2 * jlog_size(sizeof(id->id))) {
			j->identity_n = i;
			break;
		}
		id->place =
		    jlog_append(to, REC_IDENTITY, span_make(&id->id, sizeof(id->id)), SPAN_NONE);
		jlog_seq(to, id->id.shard, id->session, id->id.seq);
	}
	if (j->budget_place != 0)
		j->budget_place = jlog_append(
		    to, REC_BUDGET, span_make(&j->budget, sizeof(j->budget)), SPAN_NONE);
	if (j->presence_place != 0 && jlog_free_bytes(to) < 2 * jlog_size(j->presence_n))
		j->presence_place = j->presence_n = 0;
	if (j->presence_place != 0)
		j->presence_place = jlog_append(
		    to, REC_PRESENCE, span_make(j->presence, j->presence_n), SPAN_NONE);
	for (size_t i = 0; i < j->child_n; i++) {
		if (jlog_free_bytes(to) < 2 * jlog_size(sizeof(j->child[i].child))) {
			j->child_n = i;
			break;
		}
		j->child[i].place = jlog_append(to, REC_CHILD,
		    span_make(&j->child[i].child, sizeof(j->child[i].child)), SPAN_NONE);
	}
	channels_move(j, to);
	/* Whatever is alone in its list may not fit at all; it is then dropped by name. */
	for (int s = DLV_FINISHED; s >= DLV_WAITING; s--) {
		l = &j->state[s];
		for (d = TAILQ_FIRST(l); d != NULL;) {
			struct delivery	*next = TAILQ_NEXT(d, in_state);

			if (jlog_free_bytes(to) < 2 * d->live_bytes) {
				space_count_dropped(j, "delivery", d->pool, d->name, d->id,
				    d->object);
				dlv_forget(j, d);
			} else
				d->place = space_copy(j, to, 0, d);
			d = next;
		}
	}
	jlog_fini(&j->log);
	j->log = *to;
	j->home = 0;
	j->live = j->bytes[0] + j->bytes[1] + j->bytes[2] + j->bytes[3];
	for (size_t i = 0; i < j->identity_n; i++)
		j->home += space_home_bytes(j, j->identity[i].place);
	for (size_t i = 0; i < j->child_n; i++)
		j->home += space_home_bytes(j, j->child[i].place);
	j->home += space_home_bytes(j, j->budget_place);
	j->home += space_home_bytes(j, j->presence_place);
	j->home += channels_home_bytes(j);
	j->live += j->home;
	EACH_DELIVERY(j, d)
		j->home += d->home_bytes = space_home_bytes(j, d->place);
}

static void
report(struct journal *j)
{
	struct journal_report	*r = &j->opened;

	r->damaged = r->damaged_n > 0;
	r->unfinished_n = j->n[DLV_WAITING] + j->n[DLV_GIVEN];
	r->finished_n = j->n[DLV_FINISHED];
	r->aside_n = j->n[DLV_ASIDE];
	if (r->damaged)
		snprintf(r->text, sizeof(r->text),
		    "the journal is damaged in %" PRIu64 " places: of %" PRIu64
		    " unfinished deliveries %" PRIu64
		    " were recorded before that and are set aside as in doubt; "
		    "what the places held is lost, %" PRIu64 " records are good",
		    r->damaged_n, r->unfinished_n + r->doubt_n, r->doubt_n, r->records_n);
}

/* ---- opening ---- */

static struct journal *
journal_new(void)
{
	struct journal	*j = mem_alloc(sizeof(*j));

	j->chains = CHAINS_FIRST;
	j->by_id = mem_array(j->chains, sizeof(*j->by_id));
	for (int s = 0; s <= DLV_FINISHED; s++)
		TAILQ_INIT(&j->state[s]);
	TAILQ_INIT(&j->shed);
	TAILQ_INIT(&j->spare);
	channels_init(j);
	return j;
}

void
journal_close(struct journal **jp)
{
	struct journal	*j = *jp;
	struct delivery	*d;

	if (j == NULL)
		return;
	for (size_t i = 0; i < j->chains; i++)
		while ((d = j->by_id[i].first) != NULL) {
			j->by_id[i].first = d->next;
			dlv_clear(d);
			free(d);
		}
	free(j->by_id);
	while ((d = TAILQ_FIRST(&j->spare)) != NULL) {
		TAILQ_REMOVE(&j->spare, d, in_state);
		free(d);
	}
	free(j->identity);
	free(j->child);
	channels_fini(j);
	buf_fini(&j->mine);
	buf_fini(&j->copy);
	jlog_fini(&j->log);
	free(j);
	*jp = NULL;
}

/* Read what l holds.  True when j goes on in it. */
static bool
read_log(struct journal *j, struct jlog *l, uint64_t now_ms)
{
	struct jlog_check	 c;
	bool			 whole = false;

	j->log = *l;
	j->reading = true;
	jlog_look(&j->log, &c);
	if (!c.journal)
		j->opened.created = true;
	else
		whole = rebuild(j, &c, now_ms);
	free(c.v);
	return whole;
}

/*
 * A file too short for a record: new, or a journal that was cut inside its header page and lost all
 * it held.
 */
static void
read_stump(struct journal *j, struct span file)
{
	j->opened.created = true;
	if (jlog_begins(file)) {
		j->opened.damaged = true;
		j->opened.damaged_n = 1;
	}
}

static uint64_t
whole_pages(uint64_t bytes)
{
	bytes &= ~4095ull;
	return bytes < JLOG_BYTES_MIN ? JLOG_BYTES_MIN : bytes;
}

/* Bytes of the file that replaces j's: never too small for what is unfinished. */
static uint64_t
new_bytes(struct journal *j, uint64_t bytes)
{
	return survivors_fit(j, bytes) || j->log.bytes < bytes ? bytes : whole_pages(j->log.bytes);
}

struct journal *
journal_open_image(void *image, uint64_t image_bytes, uint64_t bytes, uint64_t now_ms,
    struct journal_report *report_r)
{
	struct journal	*j = journal_new();
	struct jlog	 l = { .base = image, .bytes = image_bytes & ~7ull, .hold = JLOG_BORROWED };
	bool		 whole = false;

	bytes = whole_pages(bytes);
	if (l.bytes > JLOG_HEADER_BYTES)
		whole = read_log(j, &l, now_ms);
	else
		read_stump(j, span_make(image, image_bytes));
	if (whole && l.bytes != bytes) {
		whole = !survivors_fit(j, bytes);
		j->opened.created = !whole;
	}
	if (whole) {
		jlog_resume(&j->log);
		j->reading = false;
		channels_settle(j);
	} else {
		struct jlog	 to = { .hold = JLOG_HEAP };

		to.bytes = new_bytes(j, bytes);
		to.base = mem_alloc(to.bytes);
		move_to(j, &to);
	}
	j->opened.tmpfs = true;
	j->reading = false;
	report(j);
	*report_r = j->opened;
	return j;
}

struct jlog *
journal_log(struct journal *j)
{
	return &j->log;
}

/*
 * Map fd whole; every page is there before, so that a full tmpfs is an error now and no SIGBUS
 * later.
 */
static int
map(int fd, uint64_t bytes, struct jlog *l, const char **why_r)
{
	int	 e;

	do
		e = posix_fallocate(fd, 0, (off_t)bytes);
	while (e == EINTR);
	if (e != 0) {
		errno = e;
		*why_r = "no room for the journal";
		return -1;
	}
	memset(l, 0, sizeof(*l));
	l->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (l->base == MAP_FAILED) {
		*why_r = "the journal cannot be mapped";
		return -1;
	}
	l->bytes = bytes;
	l->hold = JLOG_MAPPED;
	return 0;
}

struct journal *
journal_open(const char *path, uint64_t bytes, uint64_t now_ms, struct journal_report *report_r,
    const char **why_r)
{
	struct journal	*j = journal_new();
	struct jlog	 l;
	struct stat	 st;
	struct statfs	 fs;
	char		*temp = NULL;
	int		 fd = -1, new_fd = -1;
	bool		 whole = false;

	bytes = whole_pages(bytes);
	*why_r = "the journal cannot be opened";
	if ((fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0)
		goto bad;
	if (fstat(fd, &st) != 0)
		goto bad;
	if (!S_ISREG(st.st_mode)) {
		*why_r = "the journal's path is no regular file";
		errno = EINVAL;
		goto bad;
	}
	if ((st.st_mode & 0777) != 0600 && fchmod(fd, 0600) != 0)
		goto bad;
	j->opened.tmpfs = fstatfs(fd, &fs) == 0 && (unsigned long)fs.f_type == TMPFS_MAGIC;
	if ((st.st_size & ~7ll) > JLOG_HEADER_BYTES) {
		/* The whole file is made sure of, the rest of a last page included. */
		if (map(fd, (uint64_t)st.st_size, &l, why_r) != 0)
			goto bad;
		if (l.bytes % 8 != 0) {
			munmap(l.base, l.bytes);
			if (ftruncate(fd, (off_t)(l.bytes & ~7ull)) != 0 ||
			    map(fd, l.bytes & ~7ull, &l, why_r) != 0)
				goto bad;
		}
		whole = read_log(j, &l, now_ms);
	} else {
		char	 start[8];
		ssize_t	 n = pread(fd, start, sizeof(start), 0);

		read_stump(j, span_make(start, n > 0 ? (size_t)n : 0));
	}
	if (whole && l.bytes != bytes) {
		whole = !survivors_fit(j, bytes);
		j->opened.created = !whole;
		if (whole)
			log_warnx("the journal keeps its size of %" PRIu64
				  " bytes: what is unfinished does not fit into %" PRIu64,
			    l.bytes, bytes);
	}
	if (whole) {
		jlog_resume(&j->log);
		j->reading = false;
		channels_settle(j);
	} else {
		/*
		 * Another file takes its place at once, so that a kill leaves either the one or the
		 * other.
		 */
		temp = mem_printf("%s.new", path);
		*why_r = "the journal cannot be written";
		if (unlink(temp) != 0 && errno != ENOENT)
			goto bad;
		if ((new_fd = open(
			 temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0 ||
		    map(new_fd, new_bytes(j, bytes), &l, why_r) != 0)
			goto bad;
		move_to(j, &l);
		*why_r = "the journal cannot be written";
		if (rename(temp, path) != 0)
			goto bad;
		close(new_fd);
	}
	close(fd);
	free(temp);
	j->reading = false;
	report(j);
	*report_r = j->opened;
	return j;
bad:
	memset(report_r, 0, sizeof(*report_r));
	if (new_fd >= 0)
		close(new_fd);
	if (temp != NULL && new_fd >= 0)
		unlink(temp);
	free(temp);
	if (fd >= 0)
		close(fd);
	journal_close(&j);
	return NULL;
}

int
journal_readable(const char *path, const char **why_r)
{
	char	 start[64];
	ssize_t	 n;
	int	 fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd == -1 && errno == ENOENT)
		return 0;
	if (fd == -1 || (n = pread(fd, start, sizeof(start), 0)) == -1) {
		*why_r = strerror(errno);
		if (fd != -1)
			close(fd);
		return -1;
	}
	close(fd);
	if (!jlog_is_other(span_make(start, (size_t)n)))
		return 0;
	*why_r = "a journal of another version: it would be emptied, not read";
	return -1;
}
