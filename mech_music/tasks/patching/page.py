"""The page of patching: the share of the way at each site, beside its controls."""

from __future__ import annotations

from functools import partial

from mech_music.report.found import Found
from mech_music.report.view import Chart, Clips, Heat, Measure, Paragraph, View
from mech_music.report.words import each, prompts, sampled, shortened
from mech_music.report.words import methods as shared_methods
from mech_music.results.beside import beside_controls
from mech_music.results.canvas import COLOURS, COMPONENT_WORDS
from mech_music.tasks.patching.columns import PATCHING

_SHOWN = ("effect", "share", "precision", "flipped")
_RUNS = {
    "denoise": "denoise: the corrupted prompt's run, with activations of the clean prompt's clip restored",
    "noise": "noise: the clean prompt's run, with activations of the corrupted prompt's clip",
}


def title(found: Found) -> str:
    """The pairs and the models."""
    pairs = dict.fromkeys(zip(found.effects["original"], found.effects["desired"], strict=True))
    return f"Patching between {shortened(f'{a} and {b}' for a, b in pairs)}, model {found.models}"


def question(found: Found) -> str:
    """What the run asks."""
    return (
        "Two prompts differ in one word. Where in the model, and when, are the activations that make the music of one "
        "sound of the other's word?"
    )


def methods(found: Found) -> list[Paragraph]:
    """Headings with sentences: model, patch, clips, controls, prompts, layers, statistics."""
    used = dict.fromkeys(found.effects["direction"])
    patch = [*(f"{_RUNS[name]}." for name in used), "At each step, the same step and guidance half of the other clip."]
    if any(found.effects["head"].tolist()):
        patch.append(
            "Of single heads: their slice of what attention's heads give, before it is projected to the stream."
        )
    if any(found.effects["receiver"].tolist()):
        patch.append(
            "Along a path: all branches between sender and receiver keep their unpatched values; what the receiver "
            "gives then is patched in."
        )
    there = set(found.table["role"])
    controls = [f"{role.name}: {role.meaning}" for role in PATCHING.controls if role.name in there]
    own = [
        ("Patch", patch),
        ("Clips", each(sampled(run) for run in found.runs)),
        ("Controls", controls or ["No controls were run: an effect cannot be told from damage."]),
        prompts(found, ", matched but for one word"),
    ]
    return shared_methods(found, "patched clips", own)


def page() -> View:
    """Component by layer (of paths: receiver by the sender's layer) for each window, and curves."""
    return View(
        kind="activation patching inside MusicGen",
        title=title,
        question=question,
        methods=methods,
        beside=partial(beside_controls, shown=_SHOWN),
        site="{component}, {layer}",
        heading="{original} and {desired}, {direction}: {site}",
        hover="{direction}, steps {frames}",
        effect="the patch",
        things="sites",
        rank="effect",
        outcome="flipped",
        price=("precision",),
        shown=_SHOWN,
        measures={
            "effect": Measure(signed=True, palette="RdBu_r"),
            "share": Measure(signed=True, palette="RdBu_r"),
            "precision": Measure(signed=True, limits=(None, 0.0)),
            "flipped": Measure(share=True, limits=(0.0, 1.0)),
        },
        of_controls=_SHOWN,
        selectable=("model", "original", "desired", "direction", "frames"),
        words={"component": COMPONENT_WORDS},
        colours={"component": COLOURS},
        heat=Heat(down="component", finer=("receiver", "head"), turns=True),
        glance_note="The best single layer of each component (or receiver), and every set of layers.",
        clips=Clips(
            before="The run without the patch",
            after="Patched",
            told=("effect",),
            labels={"original": "clean", "desired": "corrupted"},
        ),
        charts=(
            Chart(
                "curves", "Effect and share by layer", "By layer", ("effect", "share"),
                panels="component", lines=("component",),
            ),
        ),
    )  # fmt: skip
