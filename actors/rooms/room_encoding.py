"""A worker's rooms and the encoders that read them: one, or two while one takes the place of another.

Each encoder has a queue of its own. The second one has a share of the encoder's time while the first has work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from actors.rooms.encode_queue import Backlog, EncodeQueue, Relief
from actors.rooms.encode_schedule import EncodeSchedule
from actors.rooms.encoder_client import EncoderClient, InFlight, Question
from actors.rooms.encoder_exchange import EncoderExchange
from actors.rooms.partition import InHand, RoomEntry
from actors.settings import RoomWorkerConfig
from streaming.clock import Clock
from streaming.metrics import Metrics


class RoomEncoding:
    """Brings the texts of a worker's rooms to one encoder or to two, and the vectors back. For one thread."""

    def __init__(
        self,
        client: EncoderClient,
        rooms: Callable[[], Iterable[RoomEntry]],
        config: RoomWorkerConfig,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """rooms: all rooms of the worker."""
        self._client = client
        self._rooms = rooms
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._exchange = EncoderExchange(config.exchange, clock)
        self._question = Question(client, [], config.in_flight.timeout_s, clock)  # which encoder is wanted
        self._first = self._queue("")
        self._second: EncodeQueue | None = None
        self._may_have_second = False  # whether any room may have vectors of a second encoder
        self._asked_s = 0.0  # when the second encoder was last given work,
        self._rests_until_s = 0.0  # and until when it has had its share

    @property
    def behind_ms(self) -> int:
        """How long the chat picked last for the encoder in use had waited."""
        return self._first.behind_ms

    @property
    def texts_per_s(self) -> float:
        """The encoder's rate for this worker, with the encoder in use."""
        return self._first.texts_per_s

    @property
    def in_flight(self) -> int:
        """Texts in flight at the encoder."""
        return self._first.in_flight + (self._second.in_flight if self._second is not None else 0)

    @property
    def exchange(self) -> EncoderExchange:
        """The encoder in use and the one to come."""
        return self._exchange

    def restore(self) -> None:
        """Takes up rooms that were restored, and the encoders that read them."""
        self._may_have_second = True
        self._exchange.restore(entry.aggregate.encoder_version for entry in self._rooms())
        self._follow()

    def want(self, entry: RoomEntry, since_ms: int, messages: int) -> None:
        """Notes which texts the room wants. messages: new since the last call, the oldest appended at `since_ms`."""
        self._first.want(entry, since_ms, messages)
        if self._second is not None:
            self._second.want(entry, since_ms, messages)

    def forget(self, entry: RoomEntry) -> None:
        """Drops the wants of a room that is gone."""
        self._first.forget(entry)
        if self._second is not None:
            self._second.forget(entry)

    def submit(self) -> list[RoomEntry]:
        """Submits as many texts as the encoder has room for. Returns rooms that turned out to need no vector.

        The second one is held back to its share. While answers may use its vectors, only texts that can wait are.
        """
        settled, second = self._first.submit(), self._second
        if second is not None and self._exchange.is_settling:
            settled += second.submit(most_that_wait=self._config.exchange.batch_texts)
        elif second is not None and not second.in_flight and self._clock.monotonic_s() >= self._rests_until_s:
            self._asked_s = self._clock.monotonic_s()
            settled += second.submit(self._config.exchange.batch_texts)
        return settled

    def take_completed(self) -> list[RoomEntry]:
        """Applies completed vectors of the encoder in use. Returns the rooms that changed."""
        changed = self._first.take_completed()
        self._note(self._first)
        return changed

    def take_second(self) -> list[RoomEntry]:
        """Applies completed vectors of the second encoder. Returns the rooms that changed, for which nobody waits."""
        second = self._second
        if second is None or not second.in_flight:
            return []
        changed = second.take_completed()
        if not second.in_flight:
            self._rest()
        self._note(second)
        return changed

    def measure(self) -> list[RoomEntry]:
        """Looks which encoder is wanted and how far a second one is, for once a second.

        Returns rooms whose second vectors were dropped, because nobody needs them any more.
        """
        exchange, answer = self._exchange, self._question.answer()
        if answer is not None:
            self._question.ask()
            exchange.hear(answer.wanted)
            self._follow()
        if exchange.coming:
            live = [entry.aggregate for entry in self._rooms() if entry.aggregate.status == "live"]
            read = [aggregate for aggregate in live if aggregate.is_read_by(exchange.in_use)]
            exchange.measure(sum(one.is_read_by(exchange.coming) for one in read) / len(read) if read else 1.0)
            self._follow()
        if not (self._may_have_second and exchange.is_over):
            return []
        self._may_have_second = False
        return [entry for entry in self._rooms() if entry.aggregate.drop_second()]

    def backlog(self, now_ms: int) -> Backlog:
        """The backlog of the encoder in use."""
        return self._first.backlog(now_ms)

    def wait_s(self, longest_s: float) -> float:
        """How long nothing can happen here, at most `longest_s`."""
        wait_s = self._first.wait_s(longest_s)
        if self._second is None:
            return wait_s
        rest_s = self._rests_until_s - self._clock.monotonic_s()
        return min(wait_s, max(rest_s, 0.005) if rest_s > 0 else self._second.wait_s(longest_s))

    def _rest(self) -> None:
        """Has the second encoder rest for as long as its share demands, if the first has anything to do."""
        now_s, share = self._clock.monotonic_s(), self._config.exchange.share
        held_back = self._first.in_flight or self._first.waiting
        self._rests_until_s = now_s + (now_s - self._asked_s) * (1 / share - 1) if held_back else now_s

    def _note(self, queue: EncodeQueue) -> None:
        """Notes which encoder answers, and which is not to be had."""
        exchange, answers = self._exchange, queue.answers
        if answers.unknown:
            exchange.miss(answers.unknown)
            answers.unknown = answers.version = ""
        elif not exchange.in_use:
            exchange.in_use = answers.version
        self._follow()

    def _follow(self) -> None:
        """Has the queues serve the encoders that the exchange names."""
        exchange, second = self._exchange, self._second
        if self._first.encoder_version != exchange.in_use:
            is_another = bool(self._first.encoder_version)
            self._first.encoder_version = exchange.in_use
            self._may_have_second = self._may_have_second or is_another
            self._begin(0, self._first, anew=is_another)
        if exchange.coming == ("" if second is None else second.encoder_version):
            return
        self._second = None
        if not exchange.coming:
            for entry in self._rooms():
                entry.aggregate.rest_second()
            return
        self._may_have_second = True
        self._second = self._queue(exchange.coming)
        self._rests_until_s = 0.0
        self._begin(1, self._second, anew=True)

    def _begin(self, place: int, queue: EncodeQueue, *, anew: bool) -> None:
        """Has an encoder read all rooms that it has not read, those with the largest audience first.

        anew: nothing is in hand at this encoder yet.
        """
        now_ms = self._clock.now_ms()
        for entry in sorted(self._rooms(), key=lambda entry: -entry.audience):
            if anew:
                entry.in_hand = (entry.in_hand[0], InHand()) if place else (InHand(), entry.in_hand[1])
            queue.want(entry, now_ms, 0)

    def _queue(self, encoder_version: str) -> EncodeQueue:
        config, is_second = self._config, bool(encoder_version)
        return EncodeQueue(
            # a new encoder has all rooms to read: what is being said must not wait for that
            EncodeSchedule(config.schedule, now_first=is_second),
            InFlight(self._client, config.in_flight, self._metrics, self._clock),
            Relief(config.segment_patience_s * 1_000, config.short_after_s * 1_000),
            self._metrics,
            self._clock,
            encoder_version=encoder_version,
            is_second=is_second,
        )
