"""Several SAEs trained side by side, in one pass over the same activations; checkpoints from which it goes on."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mech_music.activations.shards import Activations
from mech_music.base.atomic import replacing
from mech_music.saes.named import SaeFit, TrainedSae
from mech_music.saes.progress import Show
from mech_music.saes.sae import About, Activation, Sae
from mech_music.saes.shuffle import BUDGET, Shuffle
from mech_music.saes.training import FIGURES, Scale, Trainer

log = logging.getLogger(__name__)
_SHOWN_EVERY = 20  # steps
_KEPT_EVERY = 60.0  # seconds between checkpoints


def shared_by(fit: SaeFit) -> tuple:
    """SAEs for which this is equal see the same batches in the same order."""
    return fit.harvest, fit.half, fit.batch, fit.epochs, fit.seed


def train(
    sources: Sequence[TrainedSae],
    activations: Activations,
    work: Path,
    show: Show,
    device: torch.device,
    every: float = _KEPT_EVERY,
    budget: int = BUDGET,
) -> dict[TrainedSae, Sae]:
    """The SAEs that `trainers_of` trained."""
    trainers = trainers_of(sources, activations, work, show, device, every, budget)
    return {source: trainer.sae() for source, trainer in trainers.items()}


def trainers_of(
    sources: Sequence[TrainedSae],
    activations: Activations,
    work: Path,
    show: Show,
    device: torch.device,
    every: float = _KEPT_EVERY,
    budget: int = BUDGET,
) -> dict[TrainedSae, Trainer]:
    """Train SAEs that share their batches (`shared_by`). ``work``: where checkpoints are kept until it is done."""
    fit, hooks = sources[0].fit, list(dict.fromkeys(source.hook for source in sources))

    def reads(at: int, n: int) -> None:
        show(0, f"reading activations, part {at + 1} of {n}")

    shuffle = Shuffle(activations, hooks, fit.half, fit.batch, fit.epochs, fit.seed, budget, reads)
    vectors = shuffle.first()
    scales = {hook: Scale.of(vectors[hook], hook) for hook in hooks}
    del vectors
    trainers = [Trainer(source.fit, scales[source.hook], len(shuffle), device) for source in sources]
    checkpoint = work / "checkpoint.safetensors"
    start = _go_on(trainers, checkpoint)
    show(start)
    kept = time.monotonic()
    for batch in shuffle.batches(start):
        for source, trainer in zip(sources, trainers, strict=True):
            trainer.step(batch[source.hook])
        done = trainers[0].done
        show(1, words(trainers) if done % _SHOWN_EVERY == 0 else None)
        if time.monotonic() - kept >= every:
            _keep(trainers, checkpoint)
            kept = time.monotonic()
    for source, trainer in zip(sources, trainers, strict=True):
        log.info("SAE at %s: %s", source.hook, json.dumps(trainer.figures))
    return dict(zip(sources, trainers, strict=True))


def steps_of(fit: SaeFit, hooks: Sequence[str], activations: Activations) -> int:
    """How many steps training takes."""
    return len(Shuffle(activations, hooks, fit.half, fit.batch, fit.epochs, fit.seed))


def words(trainers: Sequence[Trainer]) -> str:
    """How training stands: each SAE's FVU, and the first one's other figures."""
    figures = trainers[0].figures
    fvu = " ".join(f"{trainer.figures['fvu']:.3f}" for trainer in trainers)
    return f"FVU {fvu}  L0 {figures['l0']:.1f}  dead {figures['dead']:.1%}  loss {figures['loss']:.3f}"


def _keep(trainers: Sequence[Trainer], path: Path) -> None:
    state = {f"{number} {name}": tensor for number, one in enumerate(trainers) for name, tensor in one.state().items()}
    with replacing(path) as partial:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, partial)


def _go_on(trainers: Sequence[Trainer], path: Path) -> int:
    """Restore what was kept; how many steps are done."""
    if not path.exists():
        return 0
    try:
        state = load_file(path)
    except (OSError, SafetensorError):
        log.warning("checkpoint %s is damaged: training starts anew", path)
        return 0
    for number, one in enumerate(trainers):
        one.restore({name.partition(" ")[2]: x for name, x in state.items() if name.startswith(f"{number} ")})
    return trainers[0].done


# -- in the store --------------------------------------------------------------------------------------------


def to_record(sae: Sae) -> dict[str, np.ndarray]:
    """As a recording has it."""
    names = ("W_enc", "b_enc", "W_dec", "b_dec")
    record = {name: getattr(sae, name).numpy() for name in names}
    if sae.threshold is not None:
        record["threshold"] = sae.threshold.numpy()
    return record | {"k": np.array(sae.k), "jumprelu": np.array(sae.activation is Activation.jumprelu)}


def write_history(history: np.ndarray, folder: Path) -> None:
    """``training.csv``: how training stood at every 20th step (`mech_music.saes.training.FIGURES`)."""
    table = pd.DataFrame(history, columns=pd.Index(FIGURES)).astype({"step": int})
    table.to_csv(folder / "training.csv", index=False, float_format="%.6g")


def from_record(record: Mapping[str, Tensor], about: About) -> Sae:
    """What `to_record` wrote."""
    k = int(record["k"])
    activation = Activation.jumprelu if bool(record["jumprelu"]) else Activation.topk if k else Activation.relu
    threshold = record.get("threshold")
    return Sae(record["W_enc"], record["b_enc"], record["W_dec"], record["b_dec"], activation, k, threshold, about)
