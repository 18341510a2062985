"""Label the features of a sparse autoencoder, and ask of each label whether it says where the feature fires.

Labels are found on the clips that features are chosen by, and scored on held-out prompts, beside the labels of other
features. ``labels.csv`` in the job's folder has a line for each feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from mech_music.base.atomic import replacing
from mech_music.labels.protocol import ClipSet, Label
from mech_music.labels.registry import open_labeller
from mech_music.labels.scoring import Score
from mech_music.labels.vocabulary import encoder_of
from mech_music.results.audio import Choice
from mech_music.saes.named import Dictionary, Firing, TrainedSae
from mech_music.saes.settings import held_out, trained_on
from mech_music.tasks.sae.columns import told_of
from mech_music.tasks.sae_labels.columns import ACCEPTED, ASKED, SAE_LABELS
from mech_music.tasks.sae_labels.labelled import Labelled, Side, Statistics, label_features, with_similarities
from mech_music.tasks.sae_labels.settings import SaeLabelsSettings as Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mech_music.engine.engine import Answers
    from mech_music.report.view import View
    from mech_music.tasks.protocol import Figure

LABELS = "labels.csv"
COLUMNS = (
    "layer", "hook", "feature", "labeller", "label", "confidence", "description", "score", "score_low", "score_high",
    "control", "n_clips",
)  # fmt: skip
"""Of `LABELS`; ``score``: the label's AUROC on held-out clips, ``control``: the mean of that of dealt labels."""


class SaeLabels:
    """One labeller, the features of one SAE for each layer of the config."""

    name: ClassVar[str] = SAE_LABELS.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = SAE_LABELS

    def __init__(self) -> None:
        self._found: tuple[Answers, dict[int, list[Labelled]]] | None = None

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """Whoever the labeller asks, and whoever compares labels with sound."""
        similarity = (run.labels.similarity,) if run.labels.similarity else ()
        return tuple(dict.fromkeys([*open_labeller(run.labeller, run).listeners, *similarity]))

    def plan(self, run: Settings) -> list[Any]:
        """The SAEs and what their features do on both sets of clips; the clips, where somebody has to hear them."""
        wanted: list[Any] = []
        for hook, sae in run.saes.values():
            wanted += [sae] if isinstance(sae, TrainedSae) else []
            wanted += _firings(run, hook, sae)
        heard = self.listeners(run)
        return wanted + [row for clips in (trained_on, held_out) for row in clips(run.sae, run.study).rows if heard]

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """A line for each feature, each confidence that is asked for, and each role."""
        lines, told = [], told_of(run.sae)
        for layer, found in self._labelled(run, answers).items():
            described = _described(run, layer) | told
            lines += [described | line for line in _lines(found)]
        return pd.DataFrame(lines, columns=pd.Index(SAE_LABELS.names))

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """There are none: a feature's clips are the browser's."""
        return []

    @staticmethod
    def figures() -> Sequence[Figure]:
        """Scores by layer, and what is kept by the confidence that is asked for."""
        from mech_music.tasks.sae_labels.figures import by_confidence, by_layer

        return by_layer, by_confidence

    @staticmethod
    def terminal(summary: pd.DataFrame, width: int) -> RenderableType:
        """A line for each labeller and layer."""
        from mech_music.tasks.sae_labels.terminal import labels_table

        return labels_table(summary)

    @staticmethod
    def page() -> View:
        """Scores by layer and by confidence."""
        from mech_music.tasks.sae_labels.page import page

        return page()

    def export(self, run: Settings, answers: Answers, table: pd.DataFrame, weights: str, folder: Path) -> None:
        """``labels.csv``."""
        lines = [
            (layer, run.saes[layer][0], one.feature, run.labeller["name"], one.label.text, one.label.confidence,
             one.label.description, one.score.auroc, one.score.auroc_low, one.score.auroc_high, one.control,
             one.score.n)
            for layer, found in self._labelled(run, answers).items() for one in found
        ]  # fmt: skip
        with replacing(folder / LABELS) as partial:
            pd.DataFrame(lines, columns=pd.Index(COLUMNS)).to_csv(partial, index=False, float_format="%.6g")

    def _labelled(self, run: Settings, answers: Answers) -> dict[int, list[Labelled]]:
        """By layer; found once for the same answers."""
        if self._found is None or self._found[0] is not answers:
            self._found = answers, {layer: _label(run, answers, *of) for layer, of in run.saes.items()}
        return self._found[1]


def _firings(run: Settings, hook: str, sae: Dictionary) -> list[Firing]:
    """On the clips that labels are found on, and on those held out."""
    return [Firing(sae, hook, clips(run.sae, run.study)) for clips in (trained_on, held_out)]


def _label(run: Settings, answers: Answers, hook: str, sae: Dictionary) -> list[Labelled]:
    clips = {firing: firing.harvest for firing in _firings(run, hook, sae)}
    found_on, held = (
        Side.of(ClipSet(of.rows, answers, of.words(run.study), of.units), answers.records[firing], run.labels)
        for firing, of in clips.items()
    )
    how = Statistics(run.statistics.resamples, run.statistics.level, run.statistics.seed)
    found = label_features(open_labeller(run.labeller, run), found_on, held, run.labels, how)
    if (listener := run.labels.similarity) is None:
        return found
    return with_similarities(found, held, run.labels, listener, encoder_of(listener, run))


def _lines(found: Sequence[Labelled]) -> list[dict[str, Any]]:
    lines = []
    for index, one in enumerate(found):
        own = _measured(one.label, one.score, one.similarity) | {"role": "label"}
        own["above"] = float(one.score.auroc_low > one.control) if np.isfinite(one.control) else np.nan
        dealt = [_measured(one.dealt[0][0], one.dealt[0][1], one.dealt_similarity) | {"role": "dealt"}]
        dealt = dealt if one.dealt else []
        for asked in ASKED:
            for line in (own, *dealt):
                kept = float(line["confidence"]) >= asked
                values = line if kept else line | dict.fromkeys(SAE_LABELS.metrics, np.nan)
                lines.append(values | {"asked": asked, "kept": float(kept), "index": index, "feature": one.feature})
    return lines


def _measured(label: Label, score: Score, similarity: float) -> dict[str, Any]:
    accepted = float(score.f1 > ACCEPTED) if np.isfinite(score.f1) else np.nan
    measured = {"auroc": score.auroc, "f1": score.f1, "accepted": accepted, "above": np.nan, "similarity": similarity}
    return measured | {"label": label.text, "confidence": label.confidence, "failed": False}


def _described(run: Settings, layer: int) -> dict[str, Any]:
    return {
        "task": SAE_LABELS.task,
        "model": run.model.name,
        "labeller": run.labeller["name"],
        "component": run.component.value,
        "layer": str(layer),
        "rule": run.labels.told,
        "duration": float(run.duration),
        "prompt_set": run.study.name,
    }
