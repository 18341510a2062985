"""Train a sparse autoencoder at each layer (or find, or read it), and evaluate it on held-out prompts.

What it leaves unexplained in both guidance halves, what becomes of the model's distributions when it is spliced in,
how well features tell each word of the prompt set, which features come back with another seed, and of how many tokens
they are: each beside its controls. SAEs and a table of features are left in the job's folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch

from mech_music.results.audio import Choice
from mech_music.saes import loudness, monosemanticity, pooled, stability  # noqa: F401  # their recipes
from mech_music.saes.files import read_sae, write_sae
from mech_music.saes.fitting import from_record, write_history
from mech_music.saes.named import TrainedSae
from mech_music.saes.neighbours import write_hook_table
from mech_music.saes.sae import About
from mech_music.saes.settings import held_out
from mech_music.tasks.sae import browsed
from mech_music.tasks.sae.columns import SAE, told_of
from mech_music.tasks.sae.features import feature_lines, feature_table
from mech_music.tasks.sae.on_clips import clip_lines
from mech_music.tasks.sae.on_concepts import concept_lines
from mech_music.tasks.sae.settings import SaeSettings as Settings
from mech_music.tasks.sae.site import sites

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mech_music.engine.engine import Answers
    from mech_music.report.view import View
    from mech_music.saes.catalogue import Catalogue
    from mech_music.tasks.protocol import Figure


class SaeTask:
    """One SAE for each layer of the config."""

    name: ClassVar[str] = SAE.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = SAE

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """Nothing is decoded."""
        return ()

    def plan(self, run: Settings) -> list[Any]:
        """The SAEs, and what they and what is set beside them do on both sets of clips."""
        return list(dict.fromkeys(one for site in sites(run) for one in site.requests()))

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """A line for each held-out clip, for each word, and for each feature."""
        lines, told = [], told_of(run.sae)
        for site in sites(run):
            found = [*clip_lines(site, answers), *concept_lines(site, answers)]
            found += feature_lines(feature_table(site, answers))
            described = _described(run, site.layer) | told | {"failed": False}
            lines += [described | line for line in found]
        empty = dict.fromkeys(SAE.metrics, np.nan)
        return pd.DataFrame([empty | line for line in lines], columns=pd.Index(SAE.names))

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """There are none: nothing is decoded."""
        return []

    @staticmethod
    def figures() -> Sequence[Figure]:
        """What is explained, kept and told, by layer; words by readout; features beside their nulls."""
        from mech_music.tasks.sae.figures import concept_panels, feature_panels, layer_curves

        return (layer_curves, concept_panels, feature_panels)

    @staticmethod
    def terminal(summary: pd.DataFrame, width: int) -> RenderableType:
        """Each SAE, and what tells concepts beside it."""
        from mech_music.tasks.sae.terminal import sae_table

        return sae_table(summary)

    @staticmethod
    def page() -> View:
        """The page of the HTML report."""
        from mech_music.tasks.sae.page import page

        return page()

    def browsed(self, run: Settings) -> list[Any]:
        """Recordings of the features' clips and directions."""
        return browsed.needed(run)

    def catalogue(self, run: Settings, answers: Answers) -> Catalogue:
        """What the browser shows of each feature."""
        return browsed.catalogue(run, answers)

    def export(self, run: Settings, answers: Answers, table: pd.DataFrame, weights: str, folder: Path) -> None:
        """Each SAE in SAELens' format, and what its features are as ``features.csv``."""
        for site in sites(run):
            if isinstance(site.sae, TrainedSae):
                record = {name: torch.from_numpy(np.asarray(x)) for name, x in answers.records[site.sae].items()}
                told = {"width": run.sae.width, "training": run.sae.told, "seed": run.sae.seed}
                about = About(run.model.name, weights, site.hook, site.hook, run.model.frame_rate, told)
                write_sae(from_record(record, about), folder / "saes" / site.hook)
                write_history(answers.records[site.sae]["history"], folder / "saes" / site.hook)
            if (asked := site.at_neighbours) is not None:
                written = read_sae(Path(asked.sae.path)).about.written_hook
                write_hook_table(answers.records[asked], site.hook, written, folder)
        tables = [feature_table(site, answers) for site in sites(run)]
        pd.concat(tables).to_csv(folder / "features.csv", index=False, float_format="%.6g")


def _described(run: Settings, layer: int) -> dict[str, Any]:
    return {
        "task": SAE.task,
        "model": run.model.name,
        "component": run.component.value,
        "layer": str(layer),
        "duration": float(run.duration),
        "prompts": len(set(held_out(run.sae, run.study).units)),
        "prompt_set": run.study.name,
    }
