"""Where the folder of an encoder lies on this machine, for a version that reads it. Never loads one."""

from __future__ import annotations

from pathlib import Path

from deploy.config.settings import Settings
from deploy.train.fine_tuning import fine_tuned
from training.content.encoder_by_version import folder_name
from training.content.language_model import name_of


def folder_of_encoder(settings: Settings, encoder_version: str) -> Path | None:
    """The folder: that of encoder.model, or one that was fine-tuned in training.folder.

    None where its files are not here, and where none are needed: the encoder comes with a package. Raises EncoderError:
    a folder in question cannot be read.
    """
    name = folder_name(encoder_version)
    if name is None:
        return None
    made = fine_tuned(settings.training.below(Path.cwd()), encoder_version)
    places = [Path(settings.encoder.model), *([made] if made is not None else [])]
    called = [place for place in places if place.name.lower() == name.rpartition("@")[0] and place.is_dir()]
    return next((place for place in called if name_of(str(place)) == name), None)
