"""Self-similarity: how far apart the residual streams of any two layers are.

Vélez Vásquez, Pouw, Burgoyne, Zuidema (ISMIR 2024), section 4.1 and figure 3: Euclidean distance between layers'
outputs, each averaged over time first (``distance_of_means``). Beside it the mean over time of the distance at each
step (``distance``), which sees where layers differ from one moment to the next, cosine and CKA. The control,
``moved``, compares a layer with another half a clip later: what two layers share whatever is played at the moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from mech_music.config.axes import stream_after
from mech_music.edits.row import Similarity
from mech_music.results.audio import Choice
from mech_music.tasks.self_similarity.columns import SELF_SIMILARITY
from mech_music.tasks.self_similarity.settings import SelfSimilaritySettings as Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mech_music.dashboard.panels import Section
    from mech_music.engine.engine import Answers
    from mech_music.report.view import View
    from mech_music.results.columns import Schema
    from mech_music.tasks.protocol import Figure
    from mech_music.tracking.curves import Curves


class SelfSimilarity:
    """Every pair of layers, over the prompts of every concept of the config."""

    name: ClassVar[str] = SELF_SIMILARITY.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = SELF_SIMILARITY

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """Nothing is decoded."""
        return ()

    def plan(self, run: Settings) -> list[Similarity]:
        """One recording for each concept."""
        point = stream_after(run.component)
        return [
            Similarity(point, run.study.prompts_of(concept, run.prompts), run.seed, run.half)
            for concept in run.concepts
        ]

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """One line for each pair of layers, the first not above the second, and prompt."""
        layers, parts = run.layers, []
        pairs = [(first, second) for first in layers for second in layers if first <= second]
        for source in self.plan(run):
            record = answers.records[source]
            prompts = source.prompts.texts
            for role, (first, second) in product(SELF_SIMILARITY.roles, pairs):
                measured = {name: record[f"{role}_{name}"][:, first, second] for name in SELF_SIMILARITY.metrics}
                clips = {"index": range(len(prompts)), "prompt": prompts, "failed": False}
                parts.append(pd.DataFrame(clips | measured | _described(run, role, source.prompts.name, first, second)))
        return pd.concat(parts, ignore_index=True).loc[:, list(SELF_SIMILARITY.names)]

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """There are none to compare."""
        return []

    @staticmethod
    def figures() -> Sequence[Figure]:
        """Maps of layer × layer, of each concept and of all."""
        from mech_music.tasks.self_similarity.figures import concept_maps, layer_maps

        return (concept_maps, layer_maps)

    @staticmethod
    def terminal(summary: pd.DataFrame, width: int) -> RenderableType:
        """Every layer and the last one."""
        from mech_music.tasks.self_similarity.terminal import similarity_table

        return similarity_table(summary)

    @staticmethod
    def page() -> View:
        """The page of the HTML report."""
        from mech_music.tasks.self_similarity.page import page

        return page()

    @staticmethod
    def curves(summary: pd.DataFrame) -> Curves:
        """What is logged to W&B."""
        from mech_music.tasks.self_similarity.panels import curves

        return curves(summary)

    @staticmethod
    def panels(schema: Schema) -> tuple[Section, ...]:
        """What W&B shows of it."""
        from mech_music.tasks.self_similarity.panels import panels

        return panels(schema)


def _described(run: Settings, role: str, concept: str, first: int, second: int) -> dict[str, object]:
    return {
        "task": SELF_SIMILARITY.task,
        "model": run.model.name,
        "role": role,
        "component": run.component.value,
        "layer": str(first),
        "other": str(second),
        "concept": concept,
        "half": run.half.value,
        "duration": float(run.duration),
        "seed": run.seed,
        "prompts": run.prompts,
        "prompt_set": run.study.name,
    }
