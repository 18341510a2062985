"""Train the tuned lens of a model, and say how near it comes to the model's end, beside the plain lens.

The table holds the clips held out of training: KL to the final distribution by layer, for ``decoder`` (the final norm
and heads alone) and ``tuned``. The lens itself is left in the job's folder, for ``lens=tuned lens.path=<folder>``;
without ``lens.path``, ``task=decoder_lens lens=tuned`` finds it in the store, or trains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from mech_music.base.errors import UserError
from mech_music.config.axes import stream_after
from mech_music.config.schema import fit_of
from mech_music.edits.row import Translator
from mech_music.lenses.files import write_lens
from mech_music.lenses.tuned import clips_of
from mech_music.models.hooks import Hook
from mech_music.results.audio import Choice
from mech_music.tasks.tuned_lens.columns import TUNED_LENS
from mech_music.tasks.tuned_lens.settings import TunedLensSettings as Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mech_music.engine.engine import Answers
    from mech_music.report.view import View
    from mech_music.tasks.protocol import Figure


class TunedLens:
    """One translator for each layer of the config but the last, whose stream is the end itself."""

    name: ClassVar[str] = TUNED_LENS.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = TUNED_LENS

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """Nothing is decoded."""
        return ()

    def plan(self, run: Settings) -> list[Translator]:
        """The translators, by layer. UserError if only the end itself is asked for."""
        if found := list(_translators(run).values()):
            return found
        raise UserError(f"layer={run.layer}: the last layer's output is the end itself, nothing is to be translated")

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """Both lenses on the clips held out."""
        _, held_out = clips_of(fit_of(run.lens, run.study))
        lines = []
        for layer, source in _translators(run).items():
            record = answers.records[source]
            for lens in ("decoder", "tuned"):
                for index, row in enumerate(held_out):
                    measured = {name: float(record[f"{lens}_{name}"][index]) for name in TUNED_LENS.metrics}
                    lines.append(_described(run, lens, layer, index, row.prompt) | measured)
        return pd.DataFrame(lines, columns=pd.Index(TUNED_LENS.names)).assign(failed=False)

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """There are none: nothing is decoded."""
        return []

    def export(self, run: Settings, answers: Answers, table: pd.DataFrame, weights: str, folder: Path) -> None:
        """The lens as ``lens.safetensors`` and ``lens.json``."""
        records = {source.hook: answers.records[source] for source in _translators(run).values()}
        maps = {hook: (record["weight"], record["bias"]) for hook, record in records.items()}
        write_lens(maps, fit_of(run.lens, run.study), run.model.name, weights, folder)

    @staticmethod
    def figures() -> Sequence[Figure]:
        """KL and agreement by layer."""
        from mech_music.tasks.tuned_lens.figures import divergence_curves

        return (divergence_curves,)

    @staticmethod
    def terminal(summary: pd.DataFrame, width: int) -> RenderableType:
        """KL by layer."""
        from mech_music.tasks.tuned_lens.terminal import divergence_table

        return divergence_table(summary)

    @staticmethod
    def page() -> View:
        """The page of the HTML report."""
        from mech_music.tasks.tuned_lens.page import page

        return page()


def _translators(run: Settings) -> dict[int, Translator]:
    end, point = Hook(run.model.layers - 1, "resid_post"), stream_after(run.component)
    hooks = {layer: Hook(layer, point) for layer in run.layers}
    return {layer: Translator(hook.name, fit_of(run.lens, run.study)) for layer, hook in hooks.items() if hook != end}


def _described(run: Settings, lens: str, layer: int, index: int, prompt: str) -> dict[str, object]:
    return {
        "task": TUNED_LENS.task,
        "model": run.model.name,
        "lens": lens,
        "role": "lens",
        "component": run.component.value,
        "layer": str(layer),
        "duration": float(run.duration),
        "seed": run.lens.seed,
        "prompts": run.lens.held_out,
        "prompt_set": run.study.name,
        "index": index,
        "prompt": prompt,
    }
