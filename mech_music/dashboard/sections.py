"""What a dashboard shows, as data: sections of panels, and the metric keys that each panel needs.

A section is added by a line here; the keys are those that `mech_music.tracking.wandb` logs. A key's beginning, which
tells the pairs of one run apart (``guitar-piano/effectiveness``), is left out: a panel is made for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mech_music.tasks.interchange import columns as interchange


class Kind(StrEnum):
    """How a panel draws its keys, and where it finds them."""

    curves = "curves"  # logged at every layer, drawn against ``x``
    points = "points"  # the same, without lines
    sets = "sets"  # summary values of layers that are edited at once, as bars
    best = "best"  # summary values of the best single layer, as bars
    runs = "runs"  # two summary values (or a config value and one), a point for each run
    doses = "doses"  # the same for layers that are edited at once
    media = "media"  # sounds and images; a key that ends in a slash stands for all keys below it
    table = "table"


@dataclass(frozen=True)
class Panel:
    """One panel. ``keys``: logged by every run that logs the first of them. ``if_logged``: named where they are.

    ``x``: the key on the horizontal axis; ``config.<key>`` for a value of the runs' configs.
    """

    title: str
    kind: Kind
    keys: tuple[str, ...]
    if_logged: tuple[str, ...] = ()
    x: str = "layer"


@dataclass(frozen=True)
class Section:
    """Panels under one heading. ``varying``: shown only where this axis of the sweep takes several values."""

    name: str
    meaning: str
    panels: tuple[Panel, ...]
    varying: str | None = None


def spread(metric: str) -> tuple[str, str, str]:
    """A metric's mean with the ends of its interval."""
    return (metric, f"{metric}_low", f"{metric}_high")


def controls(metric: str) -> tuple[str, ...]:
    """The metric in each control."""
    return tuple(f"control/{control.name}/{metric}" for control in interchange.INTERCHANGE.controls)


_EFFECT, _PRECISION = spread("effectiveness"), spread("precision")
_BEST = spread("best/effectiveness")

INTERCHANGE: tuple[Section, ...] = (
    Section(
        "Effect by layer",
        "Means over prompts with the ends of their intervals. An effect counts where its lower end lies above the "
        "upper ends of all controls.",
        (
            Panel("effectiveness (nats)", Kind.curves, _EFFECT, controls("effectiveness")),
            Panel("precision (nats)", Kind.curves, (*_PRECISION, "ideal_precision"), controls("precision")),
            Panel("lower end, and the controls' upper ends", Kind.curves, _EFFECT[1:2], controls("effectiveness_high")),
        ),
    ),
    Section(
        "Layer by component",
        "A line for each component that was edited.",
        (
            Panel("effectiveness (nats)", Kind.curves, _EFFECT[:1]),
            Panel("precision (nats)", Kind.curves, _PRECISION[:1]),
        ),
        varying="component",
    ),
    Section(
        "Precision against effectiveness",
        "Up and right is better: nearer to the desired concept, and nothing else moved.",
        (
            Panel("every layer (nats)", Kind.points, _PRECISION[:1], x="effectiveness"),
            Panel("each run's best layer (nats)", Kind.runs, ("best/precision",), x="best/effectiveness"),
        ),
    ),
    Section(
        "What is heard",
        "The share of clips in which the desired concept is heard instead, and in which the other category's word "
        "is still heard; and how well each concept's labels rank, after the edit and before it.",
        (
            Panel("flipped", Kind.curves, spread("flipped")),
            Panel("kept", Kind.curves, (*spread("kept"), "kept_before")),
            Panel("NDCG, desired concept", Kind.curves, (*spread("ndcg_desired"), "ndcg_desired_before")),
            Panel("NDCG, original concept", Kind.curves, (*spread("ndcg_original"), "ndcg_original_before")),
        ),
    ),
    Section(
        "Layers edited at once",
        "Sets of layers: together is all of them.",
        (
            Panel("effectiveness (nats)", Kind.sets, _EFFECT, controls("effectiveness")),
            Panel("precision (nats)", Kind.sets, (*_PRECISION, "ideal_precision"), controls("precision")),
        ),
    ),
    Section(
        "Dose and response",
        "Against the strength, a factor on the edit's shift.",
        (
            Panel("best layer: effectiveness (nats)", Kind.runs, _BEST[:1], x="config.strength"),
            Panel("best layer: precision (nats)", Kind.runs, ("best/precision",), x="config.strength"),
            Panel("effectiveness (nats)", Kind.doses, _EFFECT[:1], x="config.strength"),
            Panel("precision (nats)", Kind.doses, _PRECISION[:1], x="config.strength"),
        ),
        varying="strength",
    ),
    Section(
        "Best single layer",
        "The layer with the greatest effectiveness. With few prompts it is the luckiest of many: see its interval.",
        (
            Panel("effectiveness (nats)", Kind.best, _BEST),
            Panel("which layer", Kind.best, ("best/layer",)),
        ),
    ),
)
LENSES: tuple[Section, ...] = (
    Section(
        "What layers play",
        "NDCG of a concept's labels in the clips of each layer. A layer carries the concept where the lower end lies "
        "above the control: the same layer on prompts without the concept.",
        (
            Panel(
                "NDCG", Kind.curves, (*spread("ndcg"), "ndcg_full"), ("control/other/ndcg", "control/other/ndcg_high")
            ),
            Panel("heard above its like", Kind.curves, spread("heard"), ("control/other/heard",)),
        ),
    ),
    Section(
        "How near layers come to the model's end",
        "KL(final ‖ lens) on held-out clips, of each guidance half and after guidance.",
        (
            Panel("KL (nats)", Kind.curves, spread("kl")),
            Panel("KL after guidance (nats)", Kind.curves, spread("kl_guided")),
        ),
    ),
    Section(
        "Agreement",
        "The share of tokens that are the full model's.",
        (Panel("agreement", Kind.curves, spread("agreement")),),
    ),
    Section(
        "How alike layers are",
        "Each layer and the last one; the control is the last layer half a clip later.",
        tuple(
            Panel(name, Kind.curves, spread(f"to_last/{name}"), (f"control/moved/to_last/{name}",))
            for name in ("distance", "cosine", "cka")
        ),
    ),
)
SHARED: tuple[Section, ...] = (
    Section(
        "Clips",
        "Original and edited clips of the strongest and the weakest effects; of lenses, every layer's.",
        (Panel("clips", Kind.media, ("audio",)),),
    ),
    Section("Figures", "As in the runs' folders.", (Panel("figures", Kind.media, ("figures/",)),)),
    Section(
        "Tables",
        "Means and intervals, and the numbers of every clip.",
        (Panel("summary", Kind.table, ("summary",)), Panel("clips", Kind.table, ("clips",))),
    ),
)
SECTIONS = INTERCHANGE + LENSES + SHARED

# Columns of the runs' table: config values, then summary values (each with the beginning of its keys).
CONFIG_COLUMNS = ("component", "technique.name", "pair", "layer", "strength")
SUMMARY_COLUMNS = ("best/layer", "best/effectiveness", "best/effectiveness_low", "best/above_controls")
