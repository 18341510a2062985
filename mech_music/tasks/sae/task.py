"""Train a sparse autoencoder at each layer (or find, or read it), and evaluate it on held-out prompts.

What it leaves unexplained in both guidance halves, what becomes of the model's distributions when it is spliced in,
and how well its best feature tells each word of the prompt set: beside neurons, principal components, a random
dictionary and shuffled labels. SAEs and a table of features are left in the job's folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch

from mech_music.results.audio import Choice
from mech_music.saes.files import read_sae, write_sae
from mech_music.saes.fitting import from_record, write_history
from mech_music.saes.named import AtNeighbours, Dictionary, Firing, RandomSae, SaeFile, SplicedIn, TrainedSae
from mech_music.saes.neighbours import write_hook_table
from mech_music.saes.sae import About
from mech_music.saes.settings import checked, held_out, spliced, trained_on
from mech_music.tasks.sae.columns import SAE, told_of
from mech_music.tasks.sae.concept_scores import best_features, components, labels
from mech_music.tasks.sae.features import feature_table
from mech_music.tasks.sae.settings import SaeSettings as Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mech_music.engine.engine import Answers
    from mech_music.tasks.protocol import Figure

_SHUFFLE = 7  # seed of the labels that are dealt out
_RANDOM = 1_000_003  # of the random dictionary


class SaeTask:
    """One SAE for each layer of the config."""

    name: ClassVar[str] = SAE.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = SAE

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """Nothing is decoded."""
        return ()

    def plan(self, run: Settings) -> list[Any]:
        """The SAEs, and what they and random dictionaries do on both sets of clips."""
        wanted: list[Any] = []
        for hook, sae in run.saes.values():
            wanted += [sae] if isinstance(sae, TrainedSae) else _at_neighbours(run, hook, sae)
            wanted += [firing for one in (sae, _random(run, sae)) for firing in _firings(run, hook, one)]
            wanted.append(SplicedIn(sae, hook, spliced(run.sae, run.study)))
        return wanted

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """A line for each held-out clip, and one for each word."""
        lines, told = [], told_of(run.sae)
        for layer, (hook, sae) in run.saes.items():
            found = [*_on_clips(run, answers, hook, sae), *_on_concepts(run, answers, hook, sae)]
            described = _described(run, layer) | told | {"failed": False}
            lines += [described | line for line in found]
        empty = dict.fromkeys(SAE.metrics, np.nan)
        return pd.DataFrame([empty | line for line in lines], columns=pd.Index(SAE.names))

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """There are none: nothing is decoded."""
        return []

    @staticmethod
    def figures() -> Sequence[Figure]:
        """What is explained, kept and told, by layer."""
        from mech_music.tasks.sae.figures import layer_curves

        return (layer_curves,)

    @staticmethod
    def terminal(summary: pd.DataFrame, width: int) -> RenderableType:
        """Each SAE, and what tells concepts beside it."""
        from mech_music.tasks.sae.terminal import sae_table

        return sae_table(summary)

    def export(self, run: Settings, answers: Answers, weights: str, folder: Path) -> None:
        """Each SAE in SAELens' format, and what its features tell as ``features.csv``."""
        tables = []
        for layer, (hook, sae) in run.saes.items():
            if isinstance(sae, TrainedSae):
                record = {name: torch.from_numpy(np.asarray(x)) for name, x in answers.records[sae].items()}
                told = {"width": run.sae.width, "training": run.sae.told, "seed": run.sae.seed}
                about = About(run.model.name, weights, hook, hook, run.model.frame_rate, told)
                write_sae(from_record(record, about), folder / "saes" / hook)
                write_history(answers.records[sae]["history"], folder / "saes" / hook)
            for asked in _at_neighbours(run, hook, sae):
                write_hook_table(
                    answers.records[asked], hook, read_sae(Path(asked.sae.path)).about.written_hook, folder
                )
            chosen, tested = (answers.records[firing] for firing in _firings(run, hook, sae))
            some = labels(run.study, trained_on(run.sae, run.study)), labels(run.study, held_out(run.sae, run.study))
            tables.append(feature_table(layer, hook, chosen, tested, *some))
        pd.concat(tables).to_csv(folder / "features.csv", index=False, float_format="%.6g")


def _firings(run: Settings, hook: str, sae: Dictionary) -> list[Firing]:
    """On the clips trained on, and on those held out."""
    return [Firing(sae, hook, clips(run.sae, run.study)) for clips in (trained_on, held_out)]


def _at_neighbours(run: Settings, hook: str, sae: Dictionary) -> list[AtNeighbours]:
    """Of a file, whether it is of its hook."""
    if not isinstance(sae, SaeFile) or not run.sae.check_hook:
        return []
    return [AtNeighbours(sae, hook, checked(run.sae, run.study))]


def _random(run: Settings, sae: Dictionary) -> RandomSae:
    assert not isinstance(sae, RandomSae)
    return RandomSae(sae, _RANDOM + run.sae.seed)


def _on_clips(run: Settings, answers: Answers, hook: str, sae: Dictionary) -> Iterator[dict[str, Any]]:
    """What the dictionaries leave unexplained, and what replacements do."""
    held = held_out(run.sae, run.study)
    at = {text: index for index, text in enumerate(held.prompts.texts)}
    harm = answers.records[SplicedIn(sae, hook, spliced(run.sae, run.study))]
    explained = {role: answers.records[_firings(run, hook, one)[1]] for role, one in
                 (("sae", sae), ("random", _random(run, sae)))}  # fmt: skip
    for place, row in enumerate(held.rows):
        line = {"measured": "clips", "index": at[row.prompt], "repeat": row.seed - held.seed, "prompt": row.prompt}
        for role in ("sae", "random", "mean", "zero"):
            found = _explained(explained[role], place) if role in explained else {}
            found |= _harmed(harm, role, place) if f"kl_{role}" in harm and place < len(harm["kl_sae"]) else {}
            if found:
                failed = not np.isfinite(explained["sae"]["l0"][place])
                yield line | {"role": role, "failed": failed} | found


def _explained(record: Mapping[str, np.ndarray], place: int) -> dict[str, float]:
    """A clip's own share: their mean is the FVU of all clips."""
    share = record["error"][place] / np.nanmean(record["variance"], axis=0)
    found = {"fvu": float(share[0]), "l0": float(record["l0"][place])}
    found["dead"] = float((record["largest"] <= 0).mean())
    return found | ({"fvu_uncond": float(share[1])} if len(share) > 1 else {})


def _harmed(record: Mapping[str, np.ndarray], role: str, place: int) -> dict[str, float]:
    kl = record[f"kl_{role}"][place]
    against = {way: 1 - kl / np.nanmean(record[f"kl_{way}"], axis=0) for way in ("mean", "zero")}
    found = {"kl": float(kl[0]), "recovered": float(against["mean"][0]), "recovered_zero": float(against["zero"][0])}
    found["agreement"] = float(record[f"agreement_{role}"][place][0])
    return found | ({"recovered_uncond": float(against["mean"][1])} if len(kl) > 1 else {})


def _on_concepts(run: Settings, answers: Answers, hook: str, sae: Dictionary) -> Iterator[dict[str, Any]]:
    """AUROC of the best feature for each word, beside what else could tell it."""
    chosen, tested = (answers.records[one] for one in _firings(run, hook, sae))
    random_chosen, random_tested = (answers.records[one] for one in _firings(run, hook, _random(run, sae)))
    clips = trained_on(run.sae, run.study), held_out(run.sae, run.study)
    own, dealt = ([labels(run.study, one, shuffle) for one in clips] for shuffle in (None, _SHUFFLE))
    directions = components(chosen, len(chosen["largest"]))
    values: dict[str, tuple[np.ndarray, np.ndarray, list[Any], bool]] = {
        "sae": (chosen["activation"], tested["activation"], own, False),
        "random": (random_chosen["activation"], random_tested["activation"], own, False),
        "neuron": (chosen["neuron"], tested["neuron"], own, True),
        "pca": (chosen["neuron"] @ directions, tested["neuron"] @ directions, own, True),
        "shuffled": (chosen["activation"], tested["activation"], dealt, False),
    }
    for role, (here, there, words, signed) in values.items():
        found = best_features(here, words[0], there, words[1], signed)
        for index, best in enumerate(found):
            told = f"{best.word.category}: {best.word.text}"
            line = {"measured": "concepts", "role": role, "index": index, "repeat": 0, "prompt": told}
            yield line | {"auroc": best.auroc, "prompts": len(found)}


def _described(run: Settings, layer: int) -> dict[str, Any]:
    return {
        "task": SAE.task,
        "model": run.model.name,
        "component": run.component.value,
        "layer": str(layer),
        "duration": float(run.duration),
        "prompts": run.sae.held_out,
        "prompt_set": run.study.name,
    }
