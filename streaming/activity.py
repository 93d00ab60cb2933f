"""Owns sums of what viewers do in rooms: the book that collects them, and a room's fold. Never sees a viewer."""

from __future__ import annotations

from streaming.events import ACTIVITY_BUCKET_MS, ActivityBucket, RoomActivity, RoomId, RoomState

RECENT_MS = 600_000  # the ten minutes that trending looks at


class RoomSums:
    """Mutable sums of one room and bucket."""

    __slots__ = ("entered", "follows", "gifts", "left", "likes", "newcomers", "watch_ms")

    def __init__(self) -> None:
        self.entered = 0
        self.newcomers = 0
        self.left = 0
        self.watch_ms = 0
        self.likes = 0
        self.gifts = 0
        self.follows = 0


class ActivityBook:
    """Sums of all viewers since the last drain, per room and bucket of event time."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], RoomSums] = {}

    def sums(self, room: str, at_ms: int) -> RoomSums:
        """The sums that an event of this room and time belongs to."""
        key = (room, at_ms - at_ms % ACTIVITY_BUCKET_MS)
        sums = self._sums.get(key)
        if sums is None:
            sums = self._sums[key] = RoomSums()
        return sums

    def __len__(self) -> int:
        return len(self._sums)

    def drain(self) -> list[RoomActivity]:
        """Everything collected, and starts anew."""
        drained = [
            RoomActivity(
                room=RoomId(room),
                bucket_ms=bucket_ms,
                entered=sums.entered,
                newcomers=sums.newcomers,
                left=sums.left,
                watch_ms=sums.watch_ms,
                likes=sums.likes,
                gifts=sums.gifts,
                follows=sums.follows,
            )
            for (room, bucket_ms), sums in self._sums.items()
        ]
        self._sums = {}
        return drained


class ActivityFold:
    """Sums of a room over its life, and the entries of its last ten minutes."""

    __slots__ = ("_buckets", "offset", "sums")

    def __init__(self) -> None:
        self.sums = RoomSums()
        self._buckets: dict[int, list[int]] = {}  # bucket_ms → [entered, newcomers], only where somebody entered
        self.offset = -1

    def apply(self, activity: RoomActivity, offset: int) -> bool:
        """Adds. False where it was added before."""
        if offset <= self.offset:
            return False
        self.offset = offset
        sums = self.sums
        sums.entered += activity.entered
        sums.newcomers += activity.newcomers
        sums.left += activity.left
        sums.watch_ms += activity.watch_ms
        sums.likes += activity.likes
        sums.gifts += activity.gifts
        sums.follows += activity.follows
        if activity.entered or activity.newcomers:
            self._enter(activity)
        return True

    def _enter(self, activity: RoomActivity) -> None:
        bucket = self._buckets.get(activity.bucket_ms)
        if bucket is not None:
            bucket[0] += activity.entered
            bucket[1] += activity.newcomers
            return
        newest_ms = max(self._buckets, default=activity.bucket_ms)
        if activity.bucket_ms <= newest_ms - RECENT_MS:
            return
        self._buckets[activity.bucket_ms] = [activity.entered, activity.newcomers]
        if activity.bucket_ms > newest_ms:
            oldest_ms = activity.bucket_ms - RECENT_MS
            self._buckets = {at_ms: counts for at_ms, counts in self._buckets.items() if at_ms > oldest_ms}

    def recent(self) -> tuple[ActivityBucket, ...]:
        """Buckets of the ten minutes up to the newest, oldest first; those without entries are left out."""
        return tuple(
            ActivityBucket(bucket_ms=at_ms, entered=entered, newcomers=newcomers)
            for at_ms, (entered, newcomers) in sorted(self._buckets.items())
        )

    def restore(self, state: RoomState) -> None:
        """Continues from a state."""
        sums = self.sums
        sums.entered, sums.newcomers, sums.left = state.entered, state.newcomers, state.left
        sums.watch_ms, sums.likes, sums.gifts, sums.follows = state.watch_ms, state.likes, state.gifts, state.follows
        self._buckets = {bucket.bucket_ms: [bucket.entered, bucket.newcomers] for bucket in state.recent}
        self.offset = state.activity_offset
