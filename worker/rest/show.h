/*
 * show - what each message of a stream should show.  Private to stream.c, which decides when.
 *
 * Piece i of the text is what one message takes.  Below the last one goes the note of an answer
 * that did not end by itself; one that was cut short before it came to where an earlier attempt was
 * keeps what is shown, and only gets the note.
 */
#ifndef WORKER_SHOW_H
#define WORKER_SHOW_H

#include "worker/rest/stream.h"

bool	 show_is_blank(struct span);
/* After the text grew, or ended. */
void	 show_cut(struct stream *);
void	 show_end(struct stream *, enum stream_kind, struct span note);
/* Of the text; not more than there may be messages. */
unsigned show_pieces_n(const struct stream *);
/* How many messages text and note take. */
unsigned show_total(struct stream *);
struct stream_message *show_message(struct stream *, unsigned piece);
/* What message `piece` should show.  False: what it does. */
bool	 show_want(struct stream *, unsigned piece, struct buf *out);
/* Would this take back some of what the message shows? */
bool	 show_shorter(const struct stream *, unsigned piece, struct span want);
/* No more text will come for it. */
bool	 show_closed(const struct stream *, unsigned piece);

#endif
