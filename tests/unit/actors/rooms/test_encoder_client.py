"""The promises of what is at the encoder: nothing is lost, capacity is learned, failures are waited out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.rooms.encoder_client import LEAST_IN_FLIGHT, Completed, InFlight
from actors.settings import InFlightConfig
from streaming.clock import ManualClock
from streaming.metrics import MemoryMetrics
from tests.fake_encoder import ManualEncoder, fake_vectors


class Stage:
    def __init__(self) -> None:
        self.encoder = ManualEncoder()
        self.clock = ManualClock()
        self.metrics = MemoryMetrics()
        self.in_flight: InFlight[str] = InFlight(self.encoder, InFlightConfig(), self.metrics, self.clock)

    def submit(self, *jobs: str) -> None:
        self.in_flight.submit(jobs, jobs)


def jobs_of(completions: list[Completed[str]]) -> list[str]:
    return [job for completed in completions for job in completed.jobs]


def test_vectors_come_back_with_their_jobs() -> None:
    stage = Stage()
    stage.submit("a", "b")
    assert stage.in_flight.completed() == []
    stage.encoder.finish()
    ((jobs, encoded),) = stage.in_flight.completed()
    assert list(jobs) == ["a", "b"]
    assert encoded is not None
    assert (encoded.vectors == fake_vectors(["a", "b"])).all()
    assert stage.in_flight.texts == 0


def test_failure_gives_the_jobs_back_and_pauses() -> None:
    stage = Stage()
    stage.submit("a")
    stage.encoder.fail()
    ((jobs, encoded),) = stage.in_flight.completed()
    assert (list(jobs), encoded) == (["a"], None)
    assert stage.in_flight.vacancy() == 0
    stage.clock.advance(101)
    assert stage.in_flight.vacancy() > 0


def test_pauses_grow_until_something_succeeds() -> None:
    stage = Stage()
    pauses = []
    for _ in range(8):
        stage.submit("a")
        stage.encoder.fail()
        stage.in_flight.completed()
        waited = 0
        while not stage.in_flight.vacancy():
            stage.clock.advance(50)
            waited += 50
        pauses.append(waited)
    assert pauses == sorted(pauses)
    assert pauses[-1] == 5_000
    stage.submit("a")
    stage.encoder.finish()
    stage.in_flight.completed()
    stage.submit("a")
    stage.encoder.fail()
    stage.in_flight.completed()
    stage.clock.advance(100)
    assert stage.in_flight.vacancy() > 0


def test_silent_submission_is_given_back_and_its_late_answer_ignored() -> None:
    stage = Stage()
    stage.submit("a")
    stage.clock.advance(20_001)
    assert jobs_of(stage.in_flight.completed()) == ["a"]
    stage.encoder.finish()
    assert stage.in_flight.completed() == []
    assert stage.in_flight.texts == 0


def test_limit_follows_the_encoders_capacity() -> None:
    stage = Stage()
    assert stage.in_flight.vacancy() == LEAST_IN_FLIGHT
    for _ in range(50):
        stage.submit(*map(str, range(100)))
        stage.clock.advance(200)
        stage.encoder.finish()
        stage.in_flight.completed()
    assert 450 < stage.in_flight.texts_per_s < 550
    assert 180 <= stage.in_flight.vacancy() <= 220


def test_a_rate_is_the_capacity_only_where_as_much_as_may_be_is_in_flight() -> None:
    stage = Stage()
    for _ in range(2):
        stage.submit("one")
        stage.clock.advance(100)
        stage.encoder.finish()
        stage.in_flight.completed()
    assert round(stage.in_flight.texts_per_s) == 10
    assert stage.in_flight.capacity == float("inf")
    stage.submit(*map(str, range(LEAST_IN_FLIGHT)))
    assert stage.in_flight.capacity == stage.in_flight.texts_per_s


def test_what_waited_for_the_encoder_to_start_says_nothing_of_how_fast_it_is() -> None:
    stage = Stage()

    def done_after(wait_ms: int) -> None:
        stage.submit(*map(str, range(10)))
        stage.clock.advance(wait_ms)
        stage.encoder.finish()
        stage.in_flight.completed()

    done_after(15_000)
    done_after(100)
    assert round(stage.in_flight.texts_per_s) == 100
    stage.submit("a")
    stage.encoder.fail()
    stage.in_flight.completed()
    done_after(15_000)
    assert round(stage.in_flight.texts_per_s) == 100
    done_after(1_000)
    assert stage.in_flight.texts_per_s < 50


def test_a_rate_is_above_0_after_a_first_text_and_before_a_second() -> None:
    stage = Stage()
    stage.submit("a")
    stage.encoder.finish()
    stage.in_flight.completed()
    stage.submit("b")
    stage.clock.advance(2)
    stage.submit("c")  # 2 ms in which the encoder worked and nothing came back
    assert stage.in_flight.texts_per_s == LEAST_IN_FLIGHT
    assert stage.in_flight.batch_s == stage.in_flight.batch_texts / LEAST_IN_FLIGHT


def test_a_rate_is_above_0_after_a_batch_that_outlasts_what_is_remembered() -> None:
    stage = Stage()
    for job in "ab":
        stage.submit(job)
        stage.clock.advance(10)
        stage.encoder.finish()
        stage.in_flight.completed()
    assert stage.in_flight.texts_per_s > 10
    stage.submit("c")
    stage.clock.advance(8_000)
    stage.submit("d")
    assert stage.in_flight.texts_per_s == 1 / 8
    assert stage.in_flight.batch_s == 8 * stage.in_flight.batch_texts


STEPS = st.one_of(
    st.tuples(st.just("submit"), st.integers(1, 70)),
    st.tuples(st.just("advance"), st.sampled_from([0, 1, 2, 50, 999, 5_000, 20_001])),
    st.tuples(st.just("advance"), st.integers(0, 60_000)),
    st.tuples(st.sampled_from(["finish", "fail"]), st.just(0)),
)


@given(st.lists(STEPS, max_size=30))
def test_whatever_the_encoder_does_what_is_known_of_it_stays_a_number_and_no_text_is_lost(
    steps: list[tuple[str, int]],
) -> None:
    stage, submitted, back = Stage(), 0, 0
    for step, amount in steps:
        if step == "submit":
            stage.submit(*(f"text {submitted + place}" for place in range(amount)))
            submitted += amount
        elif step == "advance":
            stage.clock.advance(amount)
        elif step == "finish":
            stage.encoder.finish()
        else:
            stage.encoder.fail()
        back += len(jobs_of(stage.in_flight.completed()))
        in_flight = stage.in_flight
        assert 0 < in_flight.texts_per_s < float("inf")
        assert 0 < in_flight.batch_s < float("inf")
        assert in_flight.capacity > 0
        assert in_flight.batch_texts >= 1
        assert in_flight.vacancy() >= 0
        assert in_flight.texts == submitted - back
