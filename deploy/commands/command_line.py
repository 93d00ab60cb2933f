"""The parser of command lines, and the refusal of those it cannot read. Never runs a command or prints.

typer makes a command of a function's signature. Four things differ here. Values are read without pydantic, whose import
takes longer than all else that a command does before its work. Several words may follow an option (`--train A B`). Help
keeps the lines of its examples. Refusals name near matches, and quote neither control characters nor secrets.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import keyword
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from deploy.terminal.console import log_to_stderr, one_line, without_secrets

if TYPE_CHECKING:
    from typer._click import Command as AnyCommand
    from typer._click import Context, HelpFormatter, Parameter

    from deploy.config.settings import Settings

EVERYWHERE = ("config", "verbose", "help_")  # options of the group that each command has too


def time_ms(text: str) -> int:
    """A time on the command line, as ms since 1970; without a zone it is UTC. Raises ValueError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as err:
        raise ValueError(f"{text!r} is not an ISO 8601 time such as 2025-03-04T12:50") from err
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


SkipBad = Annotated[bool, typer.Option("--skip-bad", help="leave out rows that cannot be taken, and count them")]
Channels = Annotated[Path | None, typer.Option(metavar="FILE", help="CSV with channel,title,category,language")]
UntilMs = Annotated[
    int | None, typer.Option("--until", parser=time_ms, metavar="TIME", help="only before this recorded time")
]
FirstRows = Annotated[int | None, typer.Option(metavar="N", help="only the first N rows of the recording")]


@dataclass(slots=True)
class Everywhere:
    """The values of the options that every command has, before its name and after: the `obj` of a context."""

    config: Path | None = None
    verbose: int = 0


def settings_of(context: typer.Context) -> Settings:
    """The settings of a command line: `--config FILE` or ./tidecast.toml, and this process's environment.

    Raises ConfigError.
    """
    from deploy.config.settings import load  # noqa: PLC0415  help needs none of it

    return load(context.obj.config, os.environ).settings


class Option(TyperOption):
    """An option that typer makes of a signature, with its value read here."""

    def __init__(self, made: TyperOption) -> None:
        vars(self).update(vars(made))

    @property
    def takes_several(self) -> bool:
        """Whether several words may follow it; its metavar says so too."""
        return self.multiple and (self.metavar or "").endswith("...")

    def process_value(self, ctx: Context, value: Any) -> Any:
        names = _option_names(ctx)
        if any(word in names for word in _words(value)):  # `--topic --json`: the value was forgotten
            ctx.fail(f"Option {self.opts[-1]!r} requires an argument.")
        return _processed(self, ctx, value)


class Argument(TyperArgument):
    """An argument that typer makes of a signature, with its value read here."""

    def __init__(self, made: TyperArgument) -> None:
        vars(self).update(vars(made))

    def process_value(self, ctx: Context, value: Any) -> Any:
        return _processed(self, ctx, value)

    def display_type_rich(self, ctx: Context) -> str | None:
        return None if self.metavar else super().display_type_rich(ctx)


class Shown:
    """The help of a command or a group: usage, description, options, and the epilog unchanged."""

    if TYPE_CHECKING:
        epilog: str | None

        def get_params(self, ctx: Context) -> list[Parameter]: ...
        def collect_usage_pieces(self, ctx: Context) -> list[str]: ...

    def format_usage(self, ctx: Context, formatter: HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, " ".join(self.collect_usage_pieces(ctx)), prefix="usage: ")

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"arguments": [], "options": []}
        for param in self.get_params(ctx):
            if (row := param.get_help_record(ctx)) is not None:
                title = getattr(param, "rich_help_panel", None) or f"{param.param_type_name}s"
                sections.setdefault(title, []).append(row)
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        formatter.write(f"\n{self.epilog or ''}")


class Command(Shown, TyperCommand):
    """A command. Unknown words are refused with its usage."""

    allow_extra_args = True  # parse_args refuses them in its own words

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        with _refused_by(ctx):
            rest = super().parse_args(ctx, list(self._one_by_one(args)))
        if rest and not ctx.resilient_parsing:
            ctx.fail(f"unrecognized arguments: {' '.join(rest)}")
        return rest

    def invoke(self, ctx: Context) -> int:
        log_to_stderr(level_of(ctx.obj.verbose))
        return int(super().invoke(ctx))

    def _one_by_one(self, args: Sequence[str]) -> Iterator[str]:
        """The words in the form that click reads: `--train A B` as `--train A --train B`."""
        options = [param for param in self.params if isinstance(param, Option) and param.takes_several]
        several = {name for option in options for name in option.opts}
        option, has_one = "", False
        for word in args:
            if word.startswith("-"):
                option, has_one = word if word in several else "", False
            elif option and has_one:
                yield option
            else:
                has_one = True
            yield word


def module_name(command: str) -> str:
    """The name of a command's module: `import` cannot be one in Python."""
    return f"{command}_" if keyword.iskeyword(command) else command.replace("-", "_")


class CommandGroup(Shown, TyperGroup):
    """A group of all commands, by name and summary; only the module of the command that runs is imported."""

    summaries: Mapping[str, str] = {}

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        with _refused_by(ctx):
            return super().parse_args(ctx, args)

    def list_commands(self, ctx: Context) -> list[str]:
        return list(self.summaries)

    def get_command(self, ctx: Context, cmd_name: str) -> AnyCommand | None:
        """A command with all that completion needs: name and summary."""
        summary = self.summaries.get(cmd_name)
        return None if summary is None else TyperCommand(cmd_name, short_help=summary)

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, AnyCommand | None, list[str]]:
        name, *rest = args
        if name not in self.summaries:
            if ctx.resilient_parsing:
                return None, None, rest
            ctx.fail(f"argument COMMAND: {_no_choice(name, self.summaries)}")
        module = importlib.import_module(f"deploy.commands.{module_name(name)}")
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, cls=Command, epilog=module.EPILOG)(module.run)
        command = as_read_here(app)
        command.params += [param for param in self.params if param.name in EVERYWHERE]
        return name, command, rest

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        with formatter.section("commands"):
            formatter.write_dl(list(self.summaries.items()))


def as_read_here(app: typer.Typer) -> AnyCommand:
    """The app as a click command, with values read by `Option` and `Argument`."""
    command = get_command(app)
    for at, param in enumerate(command.params):
        if isinstance(param, TyperOption):
            command.params[at] = Option(param)
        elif isinstance(param, TyperArgument):
            command.params[at] = Argument(param)
    return command


def refusal(error: typer.TyperException) -> str:
    """The message for a command line that cannot be read: the command's usage, the error, and where help is."""
    said = one_line(without_secrets(error.message))
    context: Context = vars(error)["ctx"]  # each is wrong usage, and names its context
    command = context.command_path
    return f"{context.get_usage()}\n{command}: error: {said}\n`{command} --help` explains it, with examples"


def one_of(known: Sequence[str]) -> Callable[[str], str]:
    """Reads a word that must be one of these, where they are too many for a Literal. It raises ValueError."""

    def choice(text: str) -> str:
        if text not in known:
            raise ValueError(_no_choice(text, known))
        return text

    return choice


def level_of(verbose: int) -> int:
    """The level of our own log lines: warnings, with `-v` from INFO on, with `-vv` from DEBUG on."""
    return (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]


@contextlib.contextmanager
def _refused_by(ctx: Context) -> Iterator[None]:
    """Turns errors of click's parser into this command's: the parser omits the command, and quotes escaped text."""
    try:
        yield
    except typer.TyperException as err:
        option = getattr(err, "option_name", None)
        if option is None:
            raise
        if hasattr(err, "possibilities"):
            ctx.fail(f"unrecognized arguments: {option}{_near(option, _option_names(ctx))}")
        ctx.fail(err.message)


def _option_names(ctx: Context) -> set[str]:
    options = [param for param in ctx.command.get_params(ctx) if isinstance(param, Option)]
    return {name for option in options for name in (*option.opts, *option.secondary_opts)}


def _processed(param: Option | Argument, ctx: Context, value: Any) -> Any:
    """Processes a value as typer does, reduced to what the commands here need."""
    if param.required and param.value_is_missing(value) and not ctx.resilient_parsing:
        ctx.fail(f"the following arguments are required: {_called(param)}")
    try:
        read = [_read(param, one) for one in value] if isinstance(value, list | tuple) else _read(param, value)
    except ValueError as err:
        ctx.fail(f"argument {_called(param)}: {err}")
    return read if param.callback is None else param.callback(ctx, param, read)


def _read(param: Option | Argument, word: Any) -> Any:
    """A word of the command line as its type in the signature. Raises ValueError. Other values were read already."""
    if not isinstance(word, str):
        return word
    of = param.type_descriptor
    kind = get_args(of.annotation)[0] if of.is_list else of.annotation
    if of.parameter_info.parser is not None:
        return of.parameter_info.parser(word)
    if of.choices is not None:
        return one_of(of.choices)(word)
    if kind not in (int, float):
        return kind(word)
    try:
        number = kind(word)
    except ValueError as err:
        raise ValueError(f"invalid {kind.__name__} value: {word!r}") from err
    if param.min is not None and not number >= param.min:
        raise ValueError(f"{word} is not at least {param.min}")
    if param.max is not None and not number <= param.max:
        raise ValueError(f"{word} is not at most {param.max}")
    return number


def _words(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _called(param: Option | Argument) -> str:
    return "/".join(param.opts) if isinstance(param, Option) else param.display_name_raw


def _no_choice(word: str, known: Iterable[str]) -> str:
    return f"invalid choice: {word!r}{_near(word, known)} (choose from {', '.join(known)})"


def _near(word: str, known: Iterable[str]) -> str:
    found: Sequence[str] = difflib.get_close_matches(word.partition("=")[0], list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""
