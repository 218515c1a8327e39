/*
 * chan - frames over a stream socket in the event loop.
 *
 * A frame is a 32-bit big-endian length and that many bytes.  The length is checked against
 * the cap before a buffer grows.  Frames sent in one loop turn go out in one write at the
 * tail.  One loop turn reads at most one buffer (256 KiB) per peer.
 *
 * Owner: whoever made it.  The descriptor is closed by chan_free.
 */
#ifndef COMMON_CHAN_H
#define COMMON_CHAN_H

#include "common/loop.h"
#include "common/mem.h"
#include "common/msg.h"
#include "common/span.h"

struct chan;

struct chan_ops {
	/*
	 * One frame, valid during the call.  The callee may free the channel (chan_free parks it).
	 */
	void	(*on_frame)(struct chan *, struct span frame, void *arg);
	/*
	 * The peer is gone or broke the framing; called once, then nothing more.
	 * why: "end of file", "frame of 80000000 bytes above cap 67108864", "write: Broken pipe"
	 * ...
	 */
	void	(*on_gone)(struct chan *, const char *why, void *arg);
};

/* fd must be a connected stream socket; it becomes non-blocking and close-on-exec. */
struct chan	*chan_new(struct loop *, int fd, const char *tag, size_t frame_max_bytes,
		    const struct chan_ops *, void *arg);
/* What is unsent is offered to the socket once more.  Safe inside its own callbacks. */
void		 chan_free(struct chan **);

/*
 * Begin a frame in the output buffer, let the caller append to it, end it: no copy.
 * After chan_end the frame is on its way.  -1 when it grew above the cap (the frame is taken back).
 * A peer that is gone takes frames and forgets them.  Nothing is logged between the two calls:
 * the line may be a frame on this channel.
 */
struct buf	*chan_begin(struct chan *);
int		 chan_end(struct chan *);
/* chan_begin, msg_pack, chan_end.  src is the struct of that message. */
int		 chan_send(struct chan *, enum msg_type, const void *src);
void		 chan_flush(struct chan *);		/* write now what the socket takes */
size_t		 chan_queued_bytes(const struct chan *);
bool		 chan_gone(const struct chan *);
/*
 * Above max_bytes of unsent output the peer counts as gone ("does not read"). 0: no bound
 * (default).
 */
void		 chan_out_max(struct chan *, size_t max_bytes);
int		 chan_fd(const struct chan *);

#endif
