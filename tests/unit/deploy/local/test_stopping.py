"""Signals end a command in order: as an event, or as the interrupt that Ctrl-C is."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from deploy.local.stopping import interrupt_on_sigterm, stop_on_signal


def test_sigterm_is_an_interrupt_and_only_there() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interrupt_on_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 1)  # the handler runs between two instructions
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_sets_the_event_and_a_second_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), stop_on_signal(threading.Event()) as stop:
        os.kill(os.getpid(), number)
        assert stop.wait(1)
        os.kill(os.getpid(), number)
        signal.sigtimedwait([], 1)
    assert signal.getsignal(number) is before
