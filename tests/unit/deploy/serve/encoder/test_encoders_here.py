"""An encoder is loaded beside the others, once, and goes when another is needed; none has the name of another."""

from __future__ import annotations

import threading

import pytest

from deploy.serve.encoder.encoders_here import IN_USE_S, RETRY_S, EncodersHere
from streaming.clock import ManualClock
from streaming.errors import EncoderError
from tests.unit.deploy.serve.encoder.held import OWN, SOON_S, Loads, Named, failure

A, B, C = "a/fp32/64", "b/fp32/64", "c/fp32/64"


@pytest.fixture
def loads() -> Loads:
    return Loads()


def later(loads: Loads, seconds: float = IN_USE_S) -> None:
    loads.clock.advance(int(1_000 * seconds) + 1)


def test_the_settings_encoder_is_loaded_first_and_known_by_its_version(loads: Loads) -> None:
    assert loads.here.own.result(SOON_S) == OWN
    assert loads.ask(OWN).version == OWN
    assert loads.begun == [""]


def test_asked_for_by_its_version_before_it_is_loaded_it_is_loaded_once(loads: Loads) -> None:
    let = threading.Event()
    slow = Loads.__new__(Loads)
    slow.begun, slow.missing, slow.slow, slow.gives = [], set(), {"": let}, {}
    slow.clock = ManualClock()
    slow.here = EncodersHere(slow._load, slow.clock)
    asked = slow.here.ask(OWN)
    assert not asked.done()
    let.set()
    assert asked.result(SOON_S).version == OWN
    assert slow.begun == [""]


def test_while_another_is_loaded_the_first_is_there_at_once(loads: Loads) -> None:
    loads.slow[A] = threading.Event()
    loads.ask(OWN)
    asked = loads.here.ask(A)
    assert loads.here.ask(OWN).done()
    assert not asked.done()
    assert loads.here.ask(A) is asked
    loads.slow[A].set()
    assert asked.result(SOON_S) == Named(A)
    assert loads.begun == ["", A]


def test_the_least_recently_asked_encoder_goes_also_that_of_the_settings_and_comes_again(loads: Loads) -> None:
    loads.ask(A)
    assert loads.loaded() == [A, OWN]
    later(loads, 1)
    loads.ask(B)
    assert loads.loaded() == [B, A]
    later(loads)
    loads.ask(B)
    assert loads.ask(OWN).version == OWN
    assert set(loads.loaded()) == {OWN, B}
    assert loads.begun == ["", A, B, OWN]


def test_an_encoder_that_is_in_use_does_not_go_for_a_third(loads: Loads) -> None:
    loads.ask(A)
    loads.ask(B)
    assert "2 others are in use here" in failure(loads.here.ask(C))
    assert set(loads.loaded()) == {A, B}
    later(loads)
    loads.ask(B)
    assert loads.ask(C) == Named(C)
    assert set(loads.loaded()) == {B, C}


def test_the_wanted_encoder_is_a_third_until_one_of_the_others_is_not_in_use(loads: Loads) -> None:
    loads.ask(A)
    loads.ask(B)
    assert loads.here.ask(C, is_wanted=True).result(SOON_S) == Named(C)
    loads.here.let_go()
    assert set(loads.loaded()) == {A, B, C}
    later(loads)
    loads.ask(A)
    loads.ask(C)
    loads.here.let_go()
    assert set(loads.loaded()) == {A, C}


def test_what_cannot_be_had_is_tried_again_after_a_while_and_not_by_each_call(loads: Loads) -> None:
    loads.missing.add(A)
    for _ in range(3):
        assert failure(loads.here.ask(A)) == f"no registry has {A}"
    assert loads.begun == ["", A]
    later(loads, RETRY_S)
    loads.missing.clear()
    assert loads.ask(A) == Named(A)


def test_an_encoder_that_is_another_than_was_asked_for_is_refused(loads: Loads) -> None:
    loads.gives[A] = "a/bf16/64"
    assert failure(loads.here.ask(A)) == f"asked for the encoder {A}, what was loaded is a/bf16/64"
    assert loads.loaded() == [OWN]


def test_whatever_a_library_raises_the_others_go_on(loads: Loads) -> None:
    def fails(_: str) -> Named:
        raise MemoryError("no room")

    loads.ask(OWN)
    loads.here._load = fails  # type: ignore[method-assign]
    assert failure(loads.here.ask(A)) == f"the encoder {A}: MemoryError('no room')"
    assert loads.ask(OWN).version == OWN


def test_where_that_of_the_settings_does_not_load_others_say_so() -> None:
    def fails(_: str) -> Named:
        raise EncoderError("encoder.model does not load")

    here = EncodersHere(fails, ManualClock())
    assert isinstance(here.own.exception(SOON_S), EncoderError)
    assert "encoder.model does not load" in failure(here.ask(A))
