"""The page of a tuned lens: how near each layer comes to the model's end, with and without training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pandas as pd

from mech_music.report.found import Found
from mech_music.report.view import Chart, Heat, Measure, Paragraph, View, beside_roles
from mech_music.report.words import each, sampling
from mech_music.report.words import methods as shared_methods
from mech_music.results.canvas import LENS_COLOURS, LENS_WORDS, POINT_WORDS
from mech_music.tasks.decoder_lens.page import trained_lens
from mech_music.tasks.tuned_lens.columns import TUNED_LENS
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
    """Headings with sentences: model, lenses, training, clips, layers, statistics."""
    return shared_methods(found, "readings of a held-out clip", _from_configs(found.runs))


def _from_configs(runs: Sequence[Settings]) -> list[Paragraph]:
    if not runs:
        return []
    plain = "DecoderLens: the stream goes through the final norm and the heads as it is; nothing is trained."
    return [
        ("Lenses", [plain, *each(trained_lens(run.lens) for run in runs)]),
        ("Reading", each(f"{POINT_WORDS[run.component.value]}." for run in runs)),
        ("Training", each(_training(run) for run in runs)),
        ("Clips", each(f"{run.duration:g} s each, {sampling(run)}." for run in runs)),
    ]


def _training(run: Settings) -> str:
    lens = run.lens
    steps = "every autoregressive step" if lens.steps == 0 else f"{lens.steps} autoregressive steps of each clip"
    return (
        f"The loss is KL(final ‖ lens) over both guidance halves and all codebooks (Belrose et al., 2023), at {steps}. "
        f"Measured on {lens.held_out} clips of other prompts and other noise, which no map was trained on."
    )


def _beside(summary: pd.DataFrame) -> pd.DataFrame:
    """With the quotient of each lens' divergence and the untrained one's."""
    effects = beside_roles(summary)
    same = [axis for axis in TUNED_LENS.axes if axis not in ("lens", "role")]
    plain = cast(pd.DataFrame, effects[effects["lens"] == "decoder"])[[*same, "kl"]]
    beside = effects.merge(plain, how="left", on=same, suffixes=("", "_plain"))
    return effects.assign(ratio=[f"{value:.2f}" for value in beside["kl"] / beside["kl_plain"]])


def page() -> View:
    """Divergence by layer of both lenses."""
    return View(
        kind="lenses on MusicGen",
        title=title,
        question=question,
        methods=methods,
        beside=_beside,
        site="{lens}, {layer}",
        heading="{site}: KL is {ratio} of the DecoderLens' own",
        hover="{ratio} of the DecoderLens' KL",
        effect="the lens",
        things="readings (a layer through a lens)",
        shown=("kl", "kl_guided", "agreement"),
        measures={
            **{name: Measure(palette="viridis_r", limits=(0.0, None)) for name in ("kl", "kl_guided")},
            "agreement": Measure(share=True, limits=(0.0, 1.0)),
        },
        selectable=("model", "component"),
        words={"lens": LENS_WORDS, "component": POINT_WORDS},
        colours={"lens": LENS_COLOURS},
        more=("ratio",),
        heat=Heat(down="lens"),
        glance_note="Over held-out clips. After guidance: of the distributions that tokens are sampled from.",
        charts=(
            Chart(
                "curves", "Divergence from the model's end by layer", "By layer", ("kl", "kl_guided", "agreement"),
                lines=("lens",),
                note="On clips that no map was trained on. The last layer is the end itself: nothing is to be "
                "translated there. Lower divergence is nearer to the end.",
            ),
        ),
    )  # fmt: skip
