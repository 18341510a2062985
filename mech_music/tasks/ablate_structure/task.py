"""Which heads carry returns, and is that causal? Found on half of the tracks, ablated, scaled and patched on the other.

Attention from a return to its source, beside matched places, says which heads look there; what is lost on returns, on
new sections and on decoys without them, beside as many random and local ones, says whether they matter, and for what.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from mech_music.structure.causes import ablation, arcs, continuing, restoring  # noqa: F401  # their recipes
from mech_music.structure.causes.conditions import FeatureSet
from mech_music.tasks.ablate_structure.columns import ABLATE_STRUCTURE
from mech_music.tasks.ablate_structure.lines import (
    Numbering,
    generation_lines,
    head_lines,
    likelihood_lines,
    patching_lines,
)
from mech_music.tasks.ablate_structure.settings import AblateStructureSettings as Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mech_music.engine.engine import Answers
    from mech_music.report.view import View
    from mech_music.results.audio import Choice
    from mech_music.tasks.protocol import Figure


class AblateStructure:
    """One set of pieces, one kind of candidates."""

    name: ClassVar[str] = ABLATE_STRUCTURE.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = ABLATE_STRUCTURE

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """Nothing is heard."""
        return ()

    def plan(self, run: Settings) -> list[Any]:
        """Scores first, then what edits do."""
        candidates, (forced, written, patched) = run.edited, run.planned()
        own = candidates.recorded if isinstance(candidates, FeatureSet) else ()
        return [run.scores, *own, *forced, *written, *patched, *run.arcs]

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """A line for each condition and piece, and for each head and piece."""
        forced, written, patched = run.planned()
        scores = answers.records[run.scores]
        number = Numbering(scores, run.draws)
        lines = [
            *likelihood_lines(forced, number, answers),
            *generation_lines(written, number, answers),
            *patching_lines(patched, number, answers),
            *head_lines(scores, number),
        ]
        empty = dict.fromkeys(ABLATE_STRUCTURE.metrics, np.nan) | {"layer": "", "head": ""}
        own = empty | _described(run)
        return pd.DataFrame([own | line for line in lines], columns=pd.Index(ABLATE_STRUCTURE.names))

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """There are none: what a model writes is read as tokens or notes."""
        return []

    def export(self, run: Settings, answers: Answers, table: pd.DataFrame, weights: str, folder: Path) -> None:
        """``causal.json``, ``timelines.json``, and the figure of attention by lag."""
        from mech_music.tasks.ablate_structure.exported import export

        export(run, answers, table, weights, folder)

    @staticmethod
    def figures() -> Sequence[Figure]:
        """What edits cost, and where heads look."""
        from mech_music.tasks.ablate_structure.figures import cost_bars, head_map

        return (cost_bars, head_map)

    @staticmethod
    def terminal(summary: pd.DataFrame, width: int) -> RenderableType:
        """Costs, generation, patching, and the heads that look back most."""
        from mech_music.tasks.ablate_structure.terminal import causal_table

        return causal_table(summary)

    @staticmethod
    def page() -> View:
        """The page of the HTML report."""
        from mech_music.tasks.ablate_structure.page import page

        return page()


def _described(run: Settings) -> dict[str, Any]:
    return {
        "task": ABLATE_STRUCTURE.task,
        "model": run.model.name,
        "pieces": str(run.pieces.get("name")),
        "candidates": run.kind,
        "half": run.half.value,
        "guidance": float(run.guidance),
        "duration": float(run.duration),
        "seed": run.seed,
        "prompts": run.n_pieces,
        "prompt_set": run.study.name,
    }
