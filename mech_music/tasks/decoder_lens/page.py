"""The page of DecoderLens: what each layer plays of each concept, beside what it plays anyway."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mech_music.config.schema import LensConfig
from mech_music.edits.row import Reading
from mech_music.report.found import Found
from mech_music.report.view import Chart, Clips, Heat, Measure, Paragraph, View, beside_roles
from mech_music.report.words import each, prompts, sampled, shortened
from mech_music.report.words import methods as shared_methods
from mech_music.results.canvas import LENS_COLOURS, LENS_WORDS, POINT_WORDS, READING_WORDS
from mech_music.tasks.decoder_lens.settings import DecoderLensSettings as Settings

_READINGS = {
    Reading.free: "free: the lens is fed the tokens that were sampled from it, as in Vélez Vásquez et al. (2024).",
    Reading.forced: "forced: the lens reads along the tokens of the full model's clip, and never hears itself.",
}


def title(found: Found) -> str:
    """The concepts and the models."""
    concepts = list(dict.fromkeys(found.effects["concept"]))
    what = concepts[0] if len(concepts) == 1 else f"{len(concepts)} concepts"
    return f"What layers play of {what}, model {found.models}"


def question(found: Found) -> str:
    """What the run asks."""
    return (
        "A prompt names a concept. If the model ended after a given layer, and its residual stream there went straight "
        "to the final norm and the heads, would the concept be heard, and from which layer on?"
    )


def methods(found: Found) -> list[Paragraph]:
    """Headings with sentences: model, lens, reading, clips, concepts, prompts, control, layers, statistics."""
    concepts = list(dict.fromkeys(found.effects["concept"]))
    control = "other: the same layer's clips of prompts that name another concept of the category, searched for the "
    own = [
        ("Concepts", [f"{shortened(concepts)}."] if concepts else []),
        prompts(found, examples=concepts[:1]),
        ("Control", [f"{control}same labels. What a layer plays anyway, whatever was asked of it."]),
    ]
    return shared_methods(found, "clips read from a layer", [*_from_configs(found.runs), *own])


def _from_configs(runs: Sequence[Settings]) -> list[Paragraph]:
    return [
        ("Lens", each(_lens(run) for run in runs)),
        ("Reading", each(f"{POINT_WORDS[run.component.value]}; {_READINGS[run.reading]}" for run in runs)),
        ("Clips", each(f"{sampled(run)} A layer's clip and the full model's share prompt and noise." for run in runs)),
    ]


def _lens(run: Settings) -> str:
    if run.lens.name == "decoder":
        return "DecoderLens: the residual stream goes through the final norm and the heads as it is."
    return trained_lens(run.lens)


def trained_lens(lens: LensConfig) -> str:
    """What a tuned lens is, and how it was trained."""
    trained = (
        f"read from {lens.path}"
        if lens.path
        else f"trained on {lens.clips} of the model's own clips for {lens.epochs} epochs (seed {lens.seed})"
    )
    return f"Tuned lens: an affine map to the final stream comes before the final norm and the heads, {trained}."


def _beside(summary: pd.DataFrame) -> pd.DataFrame:
    return beside_roles(summary, "ndcg")


def page() -> View:
    """Concept by layer, and each concept's curve beside its control and the full model."""
    whole = (0.0, 1.0)
    return View(
        kind="what the layers of MusicGen play",
        title=title,
        question=question,
        methods=methods,
        beside=_beside,
        site="{concept}, {layer}",
        heading="{concept}: {layer} through the {lens}",
        hover="{lens}, {reading}",
        effect="this layer",
        things="readings (a concept in a layer, through a lens)",
        rank="ndcg",
        shown=("ndcg", "p", "heard", "agreement"),
        measures={
            "ndcg": Measure(limits=whole, level="ndcg_full"),
            **{name: Measure(limits=whole) for name in ("ndcg_full", "p")},
            **{name: Measure(share=True, limits=whole) for name in ("heard", "agreement")},
        },
        of_controls=("ndcg", "p", "heard", "agreement"),
        selectable=("model", "lens", "reading", "component"),
        words={"lens": LENS_WORDS, "reading": READING_WORDS, "component": POINT_WORDS},
        colours={"lens": LENS_COLOURS},
        plain=("concept",),
        heat=Heat(down="concept"),
        glance_note="The best layer of each concept; the last layer is the full model itself.",
        clips=Clips(
            before="The full model",
            after="{layer} through the {lens}",
            ends=("first", "strongest"),
            told=("ndcg", "ndcg_full", "p", "agreement"),
            labels={"concept": "named by the prompt"},
            note="The concept's first prompt, so that layers can be compared, and the prompt with the highest NDCG, "
            "which is no typical clip. Both clips of a prompt share its sampling noise.",
            same="The last layer is the model's end: its clip and the full model's are one.",
        ),
        charts=(
            Chart(
                "curves", "NDCG by layer", "By layer", ("ndcg",), panels="concept", lines=("lens",),
                note="A layer carries a concept where its curve is above its control. Dotted: the full model's own "
                "clips, with their interval. All panels have one scale.",
            ),
        ),
    )  # fmt: skip
