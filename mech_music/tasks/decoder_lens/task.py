"""DecoderLens: hear what a layer's residual stream would be, were it the last one's.

Vélez Vásquez, Pouw, Burgoyne, Zuidema (ISMIR 2024), section 3 and figure 2: NDCG of a concept's labels by the layer
that is read. ``reading=free`` feeds the lens its own tokens, as the paper does; ``forced`` reads along the full
model's. ``lens=tuned`` translates first. The control, ``other``, looks for the same labels in the same layer's clips
of prompts that name another concept of the category: what a layer plays anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pandas as pd

from mech_music.config.axes import stream_after
from mech_music.config.schema import fit_of
from mech_music.edits.row import Exit, Fit, LensFile, Row
from mech_music.metrics import measures as metrics
from mech_music.models.hooks import Hook
from mech_music.prompts.concepts import Concept, Prompt
from mech_music.prompts.prompt_set import PromptSet
from mech_music.results.audio import Choice
from mech_music.tasks.decoder_lens.columns import DECODER_LENS
from mech_music.tasks.decoder_lens.settings import DecoderLensSettings as Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mech_music.dashboard.panels import Section
    from mech_music.engine.engine import Answers
    from mech_music.report.view import View
    from mech_music.results.columns import Schema
    from mech_music.tasks.protocol import Figure
    from mech_music.tracking.curves import Curves


@dataclass(frozen=True)
class _Clip:
    """One line of the table to be: a layer's clip, and the full model's of the same prompt and seed."""

    role: str
    layer: int
    concept: Concept
    index: int
    prompt: Prompt
    row: Row
    baseline: Row


class DecoderLens:
    """Every concept × layer × prompt of the config, with its control."""

    name: ClassVar[str] = DECODER_LENS.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = DECODER_LENS

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """Whoever hears the concepts."""
        return tuple(dict.fromkeys(concept.heard_by for concept in run.concepts))

    def plan(self, run: Settings) -> list[Row]:
        """The full model's clips first, then every layer's."""
        clips = list(_clips(run))
        return list(dict.fromkeys([clip.baseline for clip in clips] + [clip.row for clip in clips]))

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """Measure every clip. A failed one keeps its line, with ``failed`` set and no metrics."""
        lines = []
        for clip in _clips(run):
            failed = answers.failed(clip.row) or answers.failed(clip.baseline)
            measured = {} if failed else _measured(run.study, clip, answers)
            lines.append(_described(run, clip, answers) | measured | {"failed": failed})
        return pd.DataFrame(lines, columns=pd.Index(DECODER_LENS.names))

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """The first prompts of each concept, through all layers: ``audio.strongest`` of them."""
        shown = table[(table["role"] == "lens") & ~table["failed"] & (table["index"] < run.audio.strongest)]
        return [
            Choice(
                name=f"{line['concept']}_prompt-{line['index']:03d}_layer-{line['layer']}",
                caption=f"{line['lens']} lens ({line['reading']}), layer {line['layer']}, NDCG of {line['concept']} "
                f"{line['ndcg']:.2f}: {line['prompt']}",
                versions={line["lens"]: line["row"]},
                facts={name: line[name] for name in ("concept", "lens", "reading", "layer", "index", "ndcg", "prompt")},
            )
            for line in cast(pd.DataFrame, shown).to_dict("records")
        ]

    @staticmethod
    def figures() -> Sequence[Figure]:
        """NDCG by layer and concept."""
        from mech_music.tasks.decoder_lens.figures import category_curves, concept_curves

        return (concept_curves, category_curves)

    @staticmethod
    def terminal(summary: pd.DataFrame, width: int) -> RenderableType:
        """NDCG by layer and concept."""
        from mech_music.tasks.decoder_lens.terminal import concepts_table

        return concepts_table(summary)

    @staticmethod
    def page() -> View:
        """The page of the HTML report."""
        from mech_music.tasks.decoder_lens.page import page

        return page()

    @staticmethod
    def curves(summary: pd.DataFrame) -> Curves:
        """What is logged to W&B."""
        from mech_music.tasks.decoder_lens.panels import curves

        return curves(summary)

    @staticmethod
    def panels(schema: Schema) -> tuple[Section, ...]:
        """What W&B shows of it."""
        from mech_music.tasks.decoder_lens.panels import panels

        return panels(schema)


def _clips(run: Settings) -> Iterator[_Clip]:
    layers, lens, study = run.layers, _lens(run), run.study
    for concept in run.concepts:
        own = study.concept_prompts(concept, run.prompts)
        roles = {"lens": own, "other": _without(study, concept, run.prompts)}
        for layer in layers:
            for role, prompts in roles.items():
                for index, prompt in enumerate(prompts):
                    baseline = Row(prompt.text, run.seed)
                    row = replace(baseline, exit=_exit(run, layer, lens))
                    yield _Clip(role, layer, concept, index, prompt, row, baseline)


def _without(study: PromptSet, concept: Concept, n: int) -> list[Prompt]:
    """Prompts of the category's other concepts in turn, which never name this one."""
    others = [other for other in study.peers(concept) if other != concept]
    prompts = [study.concept_prompts(other, n) for other in others]
    return [prompts[index % len(others)][index] for index in range(n)]


def _lens(run: Settings) -> Fit | LensFile | None:
    if run.lens.name == "decoder":
        return None
    if run.lens.path is None:
        return fit_of(run.lens, run.study)
    from mech_music.lenses.files import find_lens

    return find_lens(run.lens.path)


def _exit(run: Settings, layer: int, lens: Fit | LensFile | None) -> Exit | None:
    """None where the model's own end is read: nothing is to be translated there, and nothing is left out."""
    hook = Hook(layer, stream_after(run.component))
    return None if hook == Hook(run.model.layers - 1, "resid_post") else Exit(hook.name, run.reading, lens)


def _described(run: Settings, clip: _Clip, answers: Answers) -> dict[str, object]:
    return {
        "task": DECODER_LENS.task,
        "model": run.model.name,
        "classifier": run.classifier.name,
        "lens": run.lens.name,
        "reading": run.reading.value,
        "role": clip.role,
        "component": run.component.value,
        "layer": str(clip.layer),
        "concept": clip.concept.name,
        "duration": float(run.duration),
        "seed": run.seed,
        "prompts": run.prompts,
        "prompt_set": run.study.name,
        "index": clip.index,
        "prompt": clip.prompt.text,
        "row": answers.key(clip.row),
        "baseline": answers.key(clip.baseline),
    }


def _measured(study: PromptSet, clip: _Clip, answers: Answers) -> dict[str, float]:
    concept, label = clip.concept, clip.concept.labels[0]
    logits, full = (answers.reading(row, concept.heard_by)["logits"] for row in (clip.row, clip.baseline))
    return {
        "ndcg": float(metrics.ndcg(logits, concept.labels)),
        "ndcg_full": float(metrics.ndcg(full, concept.labels)),
        "p": float(metrics.probability(logits, label)),
        "heard": float(metrics.group_argmax(logits, [peer.labels[0] for peer in study.peers(concept)]) == label),
        "agreement": _agreement(answers.tokens(clip.row), answers.tokens(clip.baseline)),
    }


def _agreement(tokens: np.ndarray, full: np.ndarray) -> float:
    return float((tokens == full).mean()) if tokens.size else float("nan")
