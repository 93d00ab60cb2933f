"""Sums of what viewers do in rooms: the book that collects them, and a room's aggregate. Never sees a viewer."""

from __future__ import annotations

from streaming.events import ACTIVITY_BUCKET_MS, ActivityBucket, Arrival, RoomActivity, RoomId, RoomState, StreamerId

RECENT_MS = 600_000  # features look ten minutes back, and so into a part of the bucket that began ten minutes ago
MAX_ARRIVALS = 32  # newest ones kept per room: after a raid nearly all of them come from one streamer


class RoomSums:
    """Mutable sums of one room in one bucket of event time."""

    __slots__ = (
        "again", "arrivals", "entered", "first_entered", "follows", "gifts", "lapsed", "left", "likes", "newcomers",
        "watch_ms",
    )  # fmt: skip

    def __init__(self) -> None:
        self.entered = 0
        self.newcomers = 0
        self.left = 0
        self.lapsed = 0
        self.watch_ms = 0
        self.likes = 0
        self.gifts = 0
        self.follows = 0
        self.first_entered = 0
        self.again = 0
        self.arrivals: list[tuple[int, str]] = []  # when, and from which streamer


class ActivityBook:
    """Sums over all viewers since the last drain, per room and bucket of event time.

    Viewers who fell silent are summed separately, so that a record either is a sign of life or is none.
    """

    __slots__ = ("_silent", "_sums")

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], RoomSums] = {}
        self._silent: dict[tuple[str, int], RoomSums] = {}

    def sums(self, room: str, at_ms: int) -> RoomSums:
        """Returns the sums that an event of this room and time belongs to."""
        key = (room, at_ms - at_ms % ACTIVITY_BUCKET_MS)
        sums = self._sums.get(key)
        if sums is None:
            sums = self._sums[key] = RoomSums()
        return sums

    def silent(self, room: str, at_ms: int) -> RoomSums:
        """Returns the sums for viewers of this room who were presumed gone at this time, after a silence."""
        return self._silent.setdefault((room, at_ms - at_ms % ACTIVITY_BUCKET_MS), RoomSums())

    def __len__(self) -> int:
        return len(self._sums) + len(self._silent)

    def drain(self) -> list[RoomActivity]:
        """Returns everything collected, and starts empty again."""
        drained = [
            RoomActivity(
                room=RoomId(room),
                bucket_ms=bucket_ms,
                entered=sums.entered,
                newcomers=sums.newcomers,
                left=sums.left,
                lapsed=sums.lapsed,
                watch_ms=sums.watch_ms,
                likes=sums.likes,
                gifts=sums.gifts,
                follows=sums.follows,
                first_entered=sums.first_entered,
                again=sums.again,
                arrivals=_newest(sums.arrivals) if sums.arrivals else (),
            )
            for (room, bucket_ms), sums in (*self._sums.items(), *self._silent.items())
        ]
        self._sums, self._silent = {}, {}
        return drained


def is_sign_of_life(activity: RoomActivity) -> bool:
    """Whether a viewer did something in the room. False where it reports only viewers who fell silent."""
    acts = activity.entered + activity.likes + activity.gifts + activity.follows
    return not activity.lapsed or activity.left > activity.lapsed or acts > 0


class ActivityAggregate:
    """Aggregate of a room's activity: sums over its life, and entries and arrivals of its last ten minutes.

    The result does not depend on the order of the records, nor on how the events are split into records.
    """

    __slots__ = ("_arrivals", "_buckets", "_recent", "_said", "entries_arrived_ms", "offset", "sums")

    def __init__(self) -> None:
        self.sums = RoomSums()
        self._buckets: dict[int, list[int]] = {}  # bucket_ms → counts as in ActivityBucket, for buckets with entries
        self._said: dict[int, ActivityBucket] = {}  # by bucket_ms: records of unchanged buckets, cached
        self._recent: tuple[ActivityBucket, ...] | None = ()
        self._arrivals: tuple[Arrival, ...] = ()
        self.entries_arrived_ms = 0  # append time of the first record of the newest bucket with entries
        self.offset = -1

    def apply(self, activity: RoomActivity, offset: int, appended_ms: int) -> bool:
        """Adds one record. False where it was added before."""
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
        sums.first_entered += activity.first_entered
        if activity.arrivals:
            newest = sorted((*self._arrivals, *activity.arrivals))[-MAX_ARRIVALS:]
            oldest_ms = newest[-1].at_ms - RECENT_MS
            self._arrivals = tuple(arrival for arrival in newest if arrival.at_ms >= oldest_ms)
        if activity.entered or activity.newcomers:
            self._enter(activity, appended_ms)
        return True

    def _enter(self, activity: RoomActivity, appended_ms: int) -> None:
        self._recent = None
        bucket = self._buckets.get(activity.bucket_ms)
        if bucket is not None:
            self._said.pop(activity.bucket_ms, None)
            bucket[0] += activity.entered
            bucket[1] += activity.newcomers
            bucket[2] += activity.first_entered
            bucket[3] += activity.again
            return
        newest_ms = max(self._buckets, default=-1)
        if activity.bucket_ms < newest_ms - RECENT_MS:
            return
        self._buckets[activity.bucket_ms] = [
            activity.entered, activity.newcomers, activity.first_entered, activity.again,
        ]  # fmt: skip
        if activity.bucket_ms > newest_ms:
            self.entries_arrived_ms = appended_ms
            oldest_ms = activity.bucket_ms - RECENT_MS
            self._buckets = {at_ms: counts for at_ms, counts in self._buckets.items() if at_ms >= oldest_ms}
            self._said = {at_ms: bucket for at_ms, bucket in self._said.items() if at_ms >= oldest_ms}

    def recent(self) -> tuple[ActivityBucket, ...]:
        """Buckets of the ten minutes up to the newest one, oldest first. Buckets without entries are left out."""
        if self._recent is None:
            said = self._said
            for at_ms, counts in self._buckets.items():
                if at_ms not in said:
                    said[at_ms] = ActivityBucket(at_ms, *counts)
            self._recent = tuple([said[at_ms] for at_ms in sorted(said)])
        return self._recent

    @property
    def arrivals(self) -> tuple[Arrival, ...]:
        """The newest arrivals of the ten minutes up to the newest bucket, oldest first."""
        return self._arrivals

    def restore(self, state: RoomState) -> None:
        """Continues from a published state."""
        sums = self.sums
        sums.entered, sums.newcomers, sums.left = state.entered, state.newcomers, state.left
        sums.watch_ms, sums.likes, sums.gifts, sums.follows = state.watch_ms, state.likes, state.gifts, state.follows
        sums.first_entered = state.first_entered
        self._buckets = {
            bucket.bucket_ms: [bucket.entered, bucket.newcomers, bucket.first_entered, bucket.again]
            for bucket in state.recent
        }
        self._recent = state.recent
        self._arrivals = state.arrivals
        self.entries_arrived_ms = state.entries_arrived_ms
        self.offset = state.activity_offset


def _newest(arrivals: list[tuple[int, str]]) -> tuple[Arrival, ...]:
    return tuple(Arrival(at_ms, StreamerId(streamer)) for at_ms, streamer in sorted(arrivals)[-MAX_ARRIVALS:])
