/*
 * jlog - the bytes of the journal: header page, ring of records, commit, wrap, check.
 *
 * Knows nothing of what a record means.  Private to supervisor/journal/, its tests and its fuzzer.
 *
 *	header page	what it is (once), two commit slots written in turn, newest seq per shard
 *	ring		records, 8-byte aligned, never across the end; the last room is a PAD or too
 *			small for one
 *
 * A record counts when a commit slot names its number.  It is written whole before that, so after a
 * kill the record behind the last committed one is either valid (taken) or torn (ignored): no
 * damage.  Each record has a number (lsn), one more than the one before it.  A number missing
 * between tail and head is damage.  What lies before the tail is dead and may be overwritten; the
 * tail is committed first.
 *
 * The order of stores is what matters, against SIGKILL; a power cut takes the tmpfs with it.
 */
#ifndef SUPERVISOR_JLOG_H
#define SUPERVISOR_JLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/span.h"

#define JLOG_VERSION		1
#define JLOG_HEADER_BYTES	4096
#define JLOG_BYTES_MIN		65536		/* as options.def says */
#define JLOG_SHARDS_MAX		64		/* with a newest seq in the header */

enum jlog_kind {
	REC_PAD = 1,
	REC_DLV,		/* one delivery, whole: the event, or a survivor of any state */
	REC_GIVEN,
	REC_RETURNED,
	REC_ASKED,
	REC_EFFECT,
	REC_ASIDE,
	REC_DROPPED,
	REC_IDENTITY,
	REC_BUDGET,
	REC_CHILD,
	REC_CHILD_GONE,
	REC_CHANNEL,		/* the last message of one channel */
	REC_CHANNEL_GONE,
	REC_GAP,		/* what a lost session left, and how much of it is filled */
	REC_CANCELLED,
	REC_RETRIED,
	REC_PRESENCE		/* what the bot shows of itself: JSON */
};

struct jlog_rec {
	/* 0xf8 0xff: never in UTF-8, so no event body looks like a record */
	uint32_t	 magic;
	uint32_t	 bytes;		/* of payload; the record is rounded up to 8 */
	uint64_t	 lsn;
	/* over all other words and the payload (of a PAD the words only) */
	uint64_t	 check;
	uint32_t	 kind;
	uint32_t	 zero;
};

enum jlog_hold { JLOG_NONE, JLOG_MAPPED, JLOG_BORROWED, JLOG_HEAP };

struct jlog {
	char		*base;
	uint64_t	 bytes;		/* header page and ring */
	enum jlog_hold	 hold;
	/* offsets: of the next record, of the oldest that may matter */
	uint64_t	 head, tail;
	uint64_t	 used;		/* from tail to head, lost room at the end included */
	uint64_t	 lsn;		/* of the last record; 0 none */
	uint64_t	 tail_lsn;	/* of the record at tail; lsn + 1 when there is none */
	uint64_t	 tail_committed;
	uint64_t	 gen;		/* of the newest commit slot */
	uint64_t	 records, wraps;
};

struct jlog_found {
	uint64_t	 lsn, off;
};

/* What a look at all bytes found. */
struct jlog_check {
	bool			 journal;	/* false: not one, or of another version */
	bool			 rewrite;	/* it cannot be continued in place */
	uint64_t		 damaged_n;	/* places that should have been good */
	uint64_t		 hole_lsn;	/* highest number that is missing; 0 none */
	/* good records from the tail on, by number; free(3) */
	struct jlog_found	*v;
	size_t			 n;
};

/* Ring bytes of a log of so many bytes. */
uint64_t	 jlog_capacity(const struct jlog *);
static inline uint64_t
jlog_size(uint64_t payload)
{
	return (sizeof(struct jlog_rec) + payload + 7) & ~7ull;
}
uint64_t	 jlog_sum(const struct jlog_rec *);

/* Is this the beginning of a journal, whatever became of the rest? */
bool		 jlog_begins(struct span file);
/* It begins so, and yet another version wrote it. */
bool		 jlog_is_other(struct span file);
/*
 * Make it an empty journal.  All bytes are zero before, so that no old record is ever found again.
 */
void		 jlog_format(struct jlog *);
/*
 * Look at base[bytes]; fills head, tail and so on when it can be continued.  Changes nothing.
 * The caller ends it with jlog_resume, or reads it and writes another one.
 */
void		 jlog_look(struct jlog *, struct jlog_check *);
/* Go on in place after a look that does not ask for a rewrite. */
void		 jlog_resume(struct jlog *);
void		 jlog_fini(struct jlog *);

uint64_t	 jlog_free_bytes(const struct jlog *);
/*
 * Append payload a then b.  jlog_free_bytes must be at least jlog_size of it and of the lost room
 * at the end (at most as much again).  Returns its offset.
 */
uint64_t	 jlog_append(struct jlog *, enum jlog_kind, struct span a, struct span b);
/* The record at an offset, and its payload. */
const struct jlog_rec *jlog_at(const struct jlog *, uint64_t off);
struct span	 jlog_payload(const struct jlog *, uint64_t off);
/* Give up the record at the tail. */
void		 jlog_advance(struct jlog *);

/* Newest seq of a shard, bound to a session; kept twice, so that one is good at any instant. */
void		 jlog_seq(struct jlog *, uint32_t shard, uint64_t session, uint64_t seq);
bool		 jlog_seq_get(const struct jlog *, uint32_t shard, uint64_t session,
		    uint64_t *seq_r);

struct journal;
struct journal_report;
/*
 * journal_open on memory instead of a file, for tests and the fuzzer: image is borrowed, 8-byte
 * aligned and used in place unless it has to be rewritten.  bytes as for journal_open.
 */
struct journal	*journal_open_image(void *image, uint64_t image_bytes, uint64_t bytes,
		    uint64_t now_ms, struct journal_report *report_r);
struct jlog	*journal_log(struct journal *);

#endif
