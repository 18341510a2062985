"""The paper's way against our engine: the same rows, from prompts to tokens and on to class probabilities.

Reference: plain audiocraft, one prompt a pass, the original and its edited versions as the rows of the batch, the edits
as raw PyTorch hooks; then the whole pass is decoded and classified. The concept means are given to both sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mech_music.benchmarks import rows as made
from mech_music.benchmarks.bench import Bench
from mech_music.benchmarks.measure import Side, alternate
from mech_music.benchmarks.models import Subject, duration
from mech_music.benchmarks.others import load_plain, plain_name, plain_tokens
from mech_music.benchmarks.ours import Ours, Resolve, generation, load_ours
from mech_music.benchmarks.table import Line, compare
from mech_music.config.schema import ClassifierConfig
from mech_music.edits.row import Edit, Mean, Row
from mech_music.engine.engine import Engine
from mech_music.engine.passes import Settings
from mech_music.listeners.classifier import Classifier, ClassifierListener, load_classifier
from mech_music.models.hooks import Hook
from mech_music.models.sampling import Sampling
from mech_music.store import Store

if TYPE_CHECKING:
    from audiocraft.models.musicgen import MusicGen

_MODULES = {"attn_out": "self_attn", "cross_attn_out": "cross_attention", "mlp_out": "linear2"}


class Script:
    """The plain script. ``mean``: a concept's mean activations at a hook, ``[step, half, d_model]``."""

    def __init__(self, musicgen: MusicGen, classifier: Classifier | None, mean: Resolve, frames: int) -> None:
        self.musicgen, self.classifier, self.frames = musicgen, classifier, frames
        self._mean = mean

    def tokens(self, rows: Sequence[Row]) -> Tensor:
        """One pass: the versions of one prompt's clip, ``[row, codebook, frame]``."""
        handles = [self._hook(place, len(rows), edit) for place, row in enumerate(rows) for edit in row.edits]
        try:
            return plain_tokens(self.musicgen, [row.prompt for row in rows], self.frames)
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def probabilities(self, rows: Sequence[Row]) -> Tensor:
        """One pass on to ``[row, label]``."""
        assert self.classifier is not None
        audio: Any = self.musicgen.compression_model.decode(self.tokens(rows))
        return self.classifier.logits(audio[:, 0].float(), self.musicgen.sample_rate).softmax(-1)

    def _hook(self, place: int, n_rows: int, edit: Edit) -> Any:
        hook, device = Hook.parse(edit.hook), self.musicgen.device
        layer: Any = self.musicgen.lm.transformer.layers[hook.layer]
        terms = [term.weight * self._mean(term.source, edit.hook) for term in edit.shift]
        shift = torch.stack(terms).sum(0).to(device)
        halves, steps = torch.tensor([place, n_rows + place], device=device), count()

        def change(_module: object, _inputs: object, output: Any) -> None:
            value = output[0] if isinstance(output, tuple) else output
            if edit.scale == 0:
                value[halves, 0] = shift[next(steps)].to(value.dtype)
            else:
                value[halves, 0] = edit.scale * value[halves, 0] + shift[next(steps)].to(value.dtype)

        return getattr(layer, _MODULES[hook.point]).register_forward_hook(change)


def run(bench: Bench) -> Iterator[Line]:
    """Generation alone and the whole way, on tiny and on the random model."""
    sizes = bench.config.reference
    yield from _lines(bench, bench.tiny, sizes.tiny_prompts, sizes.tiny_frames)
    yield from _lines(bench, bench.random, sizes.random_prompts, sizes.random_frames)


def _lines(bench: Bench, subject: Subject, n_prompts: int, frames: int) -> Iterator[Line]:
    ours = load_ours(subject, bench.device)
    store = Store(bench.scratch / f"reference-{subject.layers}")
    listeners = {"classifier": lambda: ClassifierListener(ClassifierConfig(name="tiny"), str(bench.device))}
    engine = Engine(ours.source, store, Settings(Sampling(), duration(frames)), listeners, quiet=True)
    means = {source: engine.passes.recording.get(source) for source in (made.ORIGINAL, made.DESIRED)}

    def mean(source: Mean, hook: str) -> Tensor:
        return means[source][hook]

    classifier = load_classifier("tiny", device=str(bench.device))
    script = Script(load_plain(subject, bench.device), classifier, mean, frames)
    sides = _sides(bench, script, ours, engine, mean, n_prompts)
    generated, ours_generated, heard, ours_heard = alternate(sides, bench.config.rounds)
    what = f"{subject.name}, {n_prompts} × {made.VERSIONS} clips of {frames} frames"
    own = "" if subject.name == "tiny" else "codec untrained, of tiny's architecture; tiny's classifier"
    yield compare("reference", f"{what}: generation", generated, ours_generated)
    yield compare("reference", f"{what}: to class probabilities", heard, ours_heard, note=own)


def _sides(bench: Bench, script: Script, ours: Ours, engine: Engine, mean: Resolve, n_prompts: int) -> list[Side]:
    """Rows of a new seed in each round (the means are of seed 0), so that nothing is in the store yet."""
    model, seeds = ours.model, count(1)
    generated = generation(engine, ours, mean, script.frames)

    def passes() -> list[list[Row]]:
        seed = next(seeds)
        return [made.versions(prompt, seed, model.n_layers) for prompt in made.prompts(n_prompts)]

    def generate(_round: int) -> None:
        generated([row for version in passes() for row in version])

    def heard(_round: int) -> None:
        engine.answers([row for version in passes() for row in version], ("classifier",))

    plain, clips = plain_name(bench.plain_threads), n_prompts * made.VERSIONS
    return [
        Side(f"{plain}, raw hooks", lambda _: [script.tokens(rows) for rows in passes()], clips, bench.plain_threads),
        Side(ours.name, generate, clips, ours.threads),
        Side(
            f"{plain}, raw hooks", lambda _: [script.probabilities(rows) for rows in passes()], clips,
            bench.plain_threads,
        ),
        Side(f"{ours.name}, engine", heard, clips, ours.threads),
    ]  # fmt: skip
