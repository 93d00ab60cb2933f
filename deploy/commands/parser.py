"""Owns how a command line that cannot be read is answered: in which command, what it may have meant. Never runs one."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from deploy.terminal.console import clean, one_line, without_secrets


class Parser(argparse.ArgumentParser):
    """argparse's, whose messages quote what was typed without control characters and secrets, and name what is near.

    Its subparsers are of the same kind. What a command does not know is refused with that command's usage.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{_near(unknown[0], self._option_string_actions)}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        said = one_line(without_secrets(message))
        self.exit(2, f"{self.prog}: error: {said}\n`{self.prog} --help` explains it, with examples\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            near = _near(str(value), known)
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}{near} (choose from {', '.join(known)})")

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(clean(message), file)


def time_ms(text: str) -> int:
    """A time on the command line, as ms since 1970; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO 8601 time such as 2025-03-04T12:50") from err
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _near(word: str, known: Iterable[str]) -> str:
    found: Sequence[str] = difflib.get_close_matches(word.partition("=")[0], list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""
