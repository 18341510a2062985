"""Whether a run of a config can be done here: its weights, its memory, its device."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mech_music.base.errors import UserError
from mech_music.base.machine import free_on
from mech_music.base.paths import user_path
from mech_music.base.quiet import quiet_imports
from mech_music.cli.explain import explain
from mech_music.cli.validation import validate
from mech_music.config.axes import n_steps
from mech_music.config.paths import default_store_dir
from mech_music.config.schema import RunConfig
from mech_music.doctor.parts import Part, parts_of
from mech_music.models.devices import check_dtype, pick_device
from mech_music.models.handle import open_model
from mech_music.models.musicgen.footprint import PUBLISHED, Footprint, gigabytes
from mech_music.models.musicgen.hub import FILES
from mech_music.models.musicgen.loading import check_config
from mech_music.models.musicgen.published import Published
from mech_music.models.protocol import MIN_PASS

_CLIPS = 16  # of a measurement: one to three seconds on one core
_PROMPT = "Compose a happy rock piece, with a piano melody. Use a fast tempo."


@dataclass(frozen=True)
class Verdict:
    """``rows``: clips that fit in a pass by the model's shape; None where that is not known. ``reasons``: why not."""

    run: RunConfig
    parts: list[Part]
    shape: Footprint | None
    rows: int | None
    reasons: list[str]


def judge(run: RunConfig) -> Verdict:
    """All that can be said without loading the model."""
    parts = parts_of(run)
    lacking = [(part, part.missing()) for part in parts]
    reasons = [f"{part.what}: {', '.join(names)} missing ({part.command})" for part, names in lacking if names]
    shape, rows = None, None
    if invalid := [*_invalid(run)]:
        return Verdict(run, parts, shape, rows, [*reasons, *invalid])
    if run.model._target_ is not None:
        return Verdict(run, parts, shape, rows, [*reasons, *_not_opened(run)])
    reasons += [*_refusals(run, parts)]
    try:
        device = pick_device(run.engine.device)
        memory = free_on(device)
        shape = _shape(run, parts[0])
        if shape is not None and memory is not None:
            dtype, on_cpu = run.model.dtype.value, device.type == "cpu"
            rows = shape.rows(memory, n_steps(run), dtype, on_cpu)
            if rows < MIN_PASS:
                copy = shape.arranged_bytes(dtype) * on_cpu
                needed = gigabytes(shape.weight_bytes(dtype) + copy)
                why = " (a CPU keeps its weights twice)" if copy else ""
                reasons.append(f"memory: {gigabytes(memory)} free, its language model alone takes {needed}{why}")
    except UserError as error:
        reasons.append(explain(error))
    return Verdict(run, parts, shape, rows, [*dict.fromkeys(reasons)])


def _invalid(run: RunConfig) -> Iterator[str]:
    """What `mech_music.run` refuses of the same words before it looks for files."""
    try:
        validate(run)
        check_dtype(run.model.dtype.value, pick_device(run.engine.device))
        store = user_path(run.engine.store) if run.engine.store else default_store_dir()
        there = next(place for place in (store, *store.absolute().parents) if place.exists())
        if not there.is_dir():
            raise UserError(f"engine.store={store}: '{there}' is a file, expected a folder, or one that can be made")
    except UserError as error:
        yield explain(error)


def _not_opened(run: RunConfig) -> Iterator[str]:
    """What a model of another kind says when it is opened, which loads nothing."""
    try:
        open_model(run.model, run.engine.device, run.engine.threads)
    except UserError as error:
        yield explain(error)


def _refusals(run: RunConfig, parts: Sequence[Part]) -> Iterator[str]:
    """What is said of files that are there, but are not what the config needs."""
    there = [path for part in parts for path in part.files()]
    for path in there:
        try:
            readable(path)
            if path.name == FILES[0]:
                check_config(run.model, path.parent)
        except UserError as error:
            yield explain(error)


def _shape(run: RunConfig, checkpoint: Part) -> Footprint | None:
    """From the checkpoint if it is there, else from what is published under its name."""
    files = {path.name: path for path in checkpoint.files()}
    if FILES[0] in files:
        return Footprint.of_config(Published.open(files[FILES[0]]).config)
    return PUBLISHED.get(run.model.name)


def clips_a_second(run: RunConfig) -> float:
    """Measured: a pass of 16 clips of the config's length, generated, decoded and heard by one thread."""
    from mech_music.listeners.classifier import load_classifier
    from mech_music.models.musicgen.loading import load_model

    with quiet_imports():
        model = load_model(run.model.path, run.model.hub_id, run.engine.device, run.model.dtype.value)
        listener = load_classifier(run.classifier, device=str(model.device))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model.generate([_PROMPT] * MIN_PASS, list(range(MIN_PASS)), 0.2)  # what is done once is not counted
        start = time.perf_counter()
        tokens = model.generate([_PROMPT] * _CLIPS, list(range(_CLIPS)), run.duration)
        listener.logits(model.to_audio(tokens), model.sample_rate)
        return _CLIPS / (time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)


def readable(path: Path) -> None:
    """Read what a file of weights begins with. UserError, one line, if it is cut short or something else."""
    if path.name in FILES:
        Published.open(path)
        return
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, "pt") as file:
                list(file.keys())
        elif path.suffix in (".bin", ".pt", ".pth"):
            torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # both libraries raise many kinds for what they cannot read
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(f"'{path}' cannot be read ({reason}): remove it and fetch it again") from None
