/*
 * clock - monotonic time as a type of its own, so that it is never mixed with
 * a duration or the wall clock.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct mono {
	uint64_t us;		/* since boot (CLOCK_MONOTONIC); 0 means "never" */
};

#define MONO_NEVER	((struct mono){ 0 })

struct mono	 clock_mono(void);
uint64_t	 clock_wall_ms(void);			/* since 1970 */

static inline bool mono_is_never(struct mono t) { return t.us == 0; }
static inline bool mono_before(struct mono a, struct mono b) { return a.us < b.us; }
static inline struct mono
mono_add_ms(struct mono t, uint64_t ms)
{
	return (struct mono){ t.us + ms * 1000 };
}
static inline struct mono
mono_add_us(struct mono t, uint64_t us)
{
	return (struct mono){ t.us + us };
}
/* b - a in ms, rounded down; 0 when b is earlier. */
static inline uint64_t
mono_ms_between(struct mono a, struct mono b)
{
	return b.us > a.us ? (b.us - a.us) / 1000 : 0;
}
/* ms until t, rounded up; 0 when it is past. */
static inline uint64_t
mono_ms_until(struct mono now, struct mono t)
{
	return t.us > now.us ? (t.us - now.us + 999) / 1000 : 0;
}

/* From then to now by the wall clock, which may have been set back: 0 then. */
static inline uint64_t
clock_since_ms(uint64_t wall_ms, uint64_t now_ms)
{
	return now_ms > wall_ms ? now_ms - wall_ms : 0;
}

/* "3d 4h", "12m 3s", "450ms": for people.  dst of at least 24 bytes. */
const char	*clock_human_ms(uint64_t ms, char *dst, uint64_t dst_bytes);
/* ISO 8601 UTC with milliseconds, for logs and JSON.  dst of at least 32 bytes. */
const char	*clock_iso(uint64_t wall_ms, char *dst, uint64_t dst_bytes);

/* Discord's snowflake -> wall ms.  Source: Discord docs, reference, snowflakes. */
static inline uint64_t clock_snowflake_ms(uint64_t id) { return (id >> 22) + 1420070400000ull; }

/* Random number in [0, below) from the kernel's generator; below > 0. */
uint64_t	 clock_random(uint64_t below);

#endif
