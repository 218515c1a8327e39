"""Rate limits: buckets in fixed windows, the global limit in a sliding one.  Time comes in."""

import collections
import hashlib


class Limiter:
    def __init__(self, limits, seed):
        self.limits = limits
        self.seed = seed
        self.windows = {}               # (bucket, major) -> [window's end, left]
        self.last_second = collections.deque()

    def hash(self, bucket):
        return hashlib.md5(f"{self.seed}:{bucket}".encode()).hexdigest()

    def take_global(self, now):
        """0, or the seconds to wait."""
        if self.limits["global"] is None:
            return 0
        n, window = self.limits["global"]
        times = self.last_second
        while times and now - times[0] >= window:
            times.popleft()
        if len(times) >= n:
            return max(0.001, times[0] + window - now)
        times.append(now)
        return 0

    def take(self, bucket, major, now, wall):
        """(seconds to wait or 0, headers)"""
        if self.limits.get(bucket) is None:
            return 0, {}
        n, length = self.limits[bucket]
        if len(self.windows) > 4096:
            self.windows = {k: w for k, w in self.windows.items() if w[0] > now}
        window = self.windows.get((bucket, major))
        if window is None or now >= window[0]:
            window = self.windows[bucket, major] = [now + length, n]
        wait = 0
        if window[1] > 0:
            window[1] -= 1
        else:
            wait = max(0.001, window[0] - now)
        return wait, self.headers(bucket, n, window[1], window[0] - now, wall)

    def headers(self, bucket, limit, remaining, after, wall):
        return {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(remaining),
                "X-RateLimit-Reset": f"{wall + after:.3f}", "X-RateLimit-Reset-After": f"{after:.3f}",
                "X-RateLimit-Bucket": self.hash(bucket)}
