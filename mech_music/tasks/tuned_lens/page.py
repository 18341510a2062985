"""The page of a tuned lens: how near each layer comes to the model's end, with and without training."""

from __future__ import annotations

from collections.abc import Sequence

from mech_music.report.found import Found
from mech_music.report.view import View, beside_roles
from mech_music.report.words import Paragraph, drawn, each, models, statistics, told, where_read
from mech_music.results.canvas import LENS_COLOURS, LENS_WORDS, POINT_WORDS
from mech_music.tasks.decoder_lens.page import trained_lens
from mech_music.tasks.tuned_lens.settings import TunedLensSettings as Settings


def title(found: Found) -> str:
    """The models."""
    return f"How near layers come to the model's end, model {found.models}"


def question(found: Found) -> str:
    """What the run asks."""
    return (
        "How far is the distribution of the next tokens, read from a layer's residual stream, from the one that the "
        "whole model gives? And how much of that is another coordinate system, which an affine map undoes?"
    )


def methods(found: Found) -> list[Paragraph]:
    """Headings with sentences: model, lenses, training, layers, statistics."""
    return told(
        [
            *_from_configs(found.runs),
            ("Layers", [f"{where_read(found)}. The last layer is the end itself."]),
            ("Statistics", statistics(found, "readings of a held-out clip")),
        ]
    )


def _from_configs(runs: Sequence[Settings]) -> list[Paragraph]:
    if not runs:
        return []
    plain = "DecoderLens: the stream goes through the final norm and the heads as it is; nothing is trained."
    return [
        models(runs, listening=False),
        ("Lenses", [plain, *each(trained_lens(run.lens) for run in runs)]),
        ("Training", each(_training(run) for run in runs)),
        ("Clips", each(f"{run.duration:g} s each, {drawn(run)}." for run in runs)),
    ]


def _training(run: Settings) -> str:
    lens = run.lens
    steps = "every autoregressive step" if lens.steps == 0 else f"{lens.steps} autoregressive steps of each clip"
    return (
        f"The loss is KL(final ‖ lens) over both guidance halves and all codebooks (Belrose et al., 2023), at {steps}. "
        f"Measured on {lens.held_out} clips of other prompts and other noise, which no map was trained on."
    )


VIEW = View(
    kind="lenses on MusicGen",
    within=("layer", "lens"),
    selectable=("model", "component", "duration", "seed", "prompts", "task"),
    rank="",
    of_controls=(),
    beside=beside_roles,
    title=title,
    question=question,
    methods=methods,
    words={"lenses": LENS_WORDS, "lens_colours": LENS_COLOURS, "points": POINT_WORDS, "controls": {}},
    sections={"curves": "By layer", "glance": "Numbers"},
    scripts=("tasks/tuned_lens/page.js",),
)
