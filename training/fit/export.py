"""Export of a trained model to a version's bundle, and loading of one into a model. Never trains or writes files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streaming.errors import TrainingError
from training.fit.learner import LearnConfig
from training.inference.co_visits import Transitions
from training.model.config import ADAPTER, HEAD_ARRAYS, LEAVE, RANKED
from training.model.model import Model
from training.model.ranker import BEYOND
from training.model.semantic_codes import Codebooks
from training.registry.bundle import Bundle
from training.registry.manifest import V0, Manifest


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a version: its name, encoder, parent and times."""

    version: str
    encoder_version: str
    trained_until_ms: int
    created_at_ms: int
    parent: str = V0


def export_bundle(
    model: Model,
    learn: LearnConfig,
    streamers: Sequence[str],
    transitions: Transitions,
    origin: Origin,
    *,
    leaves: bool = True,
    temperature: float = 1.0,
    metrics: Mapping[str, float] | None = None,
) -> Bundle:
    """The bundle of a trained model. streamers[i] has row i + 1; temperature: divides the logit of entering.

    leaves: whether the head for leaving has learned anything; else the bundle is without it. It is in arrays of its
    own, so that a build that knows three heads reads those as before.
    """
    arrays: dict[str, NDArray[Any]] = {
        name: np.ascontiguousarray(value.detach().cpu().numpy()) for name, value in model.state_dict().items()
    }
    for name in HEAD_ARRAYS:
        whole = arrays[name]
        arrays[name] = np.ascontiguousarray(whole[:LEAVE])
        if leaves:
            arrays[f"{name}.leave"] = np.ascontiguousarray(whole[LEAVE:])
    arrays["rooms.project.bias"] = model.rooms.bias().detach().cpu().numpy()
    arrays["temperature"] = np.array([temperature], np.float32)
    arrays |= transitions.arrays()
    manifest = Manifest(
        version=origin.version,
        created_at_ms=origin.created_at_ms,
        parent=origin.parent,
        encoder_version=origin.encoder_version,
        d_content=model.config.larm.d_content,
        d_model=model.config.larm.d_model,
        features=RANKED,
        trained_until_ms=origin.trained_until_ms,
        config={"model": asdict(model.config), "learn": asdict(learn)},
        metrics=dict(metrics or {}),
    )
    return Bundle(manifest, arrays, {"streamers": tuple(streamers)})


def load_bundle(bundle: Bundle, model: Model) -> Codebooks:
    """Loads a version's arrays into a model of the same shape but perhaps more streamers; returns its codebooks.

    Streamers that the version lacks begin with its cold row, and a head that it lacks as it is in the model. Knots of
    features of which the version knew nothing stay the model's. Where it has no adapter, the model's begins, which
    changes nothing at first. Raises TrainingError: the version has an adapter and the model none; KeyError: an array is
    missing; RuntimeError: one has another shape.
    """
    import torch  # noqa: PLC0415  keeps the type stubs apart

    state = model.state_dict()
    known = bundle.arrays["rooms.streamer.weight"]
    has_adapter = any(name.startswith(ADAPTER) for name in bundle.arrays)
    if has_adapter and not any(name.startswith(ADAPTER) for name in state):
        raise TrainingError(
            f"version {bundle.manifest.version} adapts content and this training would not: set training.encoder = "
            '"adapter", or begin anew with --rebuild'
        )
    for name, value in state.items():
        if name.startswith(ADAPTER) and not has_adapter:
            continue
        array = torch.from_numpy(np.array(bundle.arrays[name]))
        if name == "rooms.streamer.weight":
            grown = value.clone()
            grown[: len(known)] = array
            grown[len(known) :] = array[0]
            array = grown
        if name == "ranker.knots_FQ":  # a feature of which the version knew nothing may count from now on
            array = torch.where(array[:, :1] < BEYOND, array, value)
        if name in HEAD_ARRAYS:
            leave = bundle.arrays.get(f"{name}.leave")
            array = torch.cat((array, value[LEAVE:] if leave is None else torch.from_numpy(np.array(leave))))
        state[name] = array
    model.load_state_dict(state)
    return Codebooks(bundle.arrays["centroids_LKE"])
