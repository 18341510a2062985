"""What interchanges log to W&B, and the panels that show it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from mech_music.dashboard.panels import Kind, Panel, Section, plain, spread
from mech_music.results.columns import Schema
from mech_music.results.tables import ABOVE, Line, lines_of, schema_of
from mech_music.tasks.interchange.columns import INTERCHANGE
from mech_music.tasks.interchange.controls import beside_controls, controls_run
from mech_music.tracking.curves import ENDS, Curves, prefixes, spreads, word_of

_CONTROL_METRICS = ("effectiveness", "precision", "kept")
_BEST = (*spread("effectiveness"), "precision", "kept", "flipped")
_MARGIN = ("margin", "margin_low", "margin_high", "p_above")
_ALIASES = {"log_odds": "effectiveness", "inverse_kl": "precision"}
_PARTS = (
    lambda line: f"{line['original']}-{line['desired']}",
    word_of("component"),
    lambda line: f"head-{line['head']}" if line["head"] else "all-heads",
    word_of("technique"),
    lambda line: f"strength-{line['strength']:g}",
)


def curves(summary: pd.DataFrame) -> Curves:
    """Effects by layer, their controls under ``control/<name>/…``; ``log_odds`` and ``inverse_kl`` are other names.

    Sets of layers are summary values, ``together/effectiveness``; so is the best single layer, ``best/effectiveness``.
    """
    controls, lines = [control.name for control in controls_run(summary)], lines_of(beside_controls(summary))
    before, found = prefixes(lines, _PARTS), Curves()
    best: dict[str, Line] = {}
    for line in lines:
        metrics = spreads(line, schema_of(summary).metrics) | {"n": float(line["n"])}
        metrics |= {alias + end: line[name + end] for alias, name in _ALIASES.items() for end in ENDS}
        for control in controls:
            own = spreads(line, _CONTROL_METRICS, f"{control}_")
            metrics |= {f"control/{control}/{key}": value for key, value in own.items()}
        metrics |= {name: line[name] for name in _MARGIN if name in line and line["over"]}
        prefix = before(line)
        found.add(line["layer"], prefix, metrics)
        if line["layer"].isdecimal() and line["effectiveness"] > best.get(prefix, {}).get("effectiveness", -math.inf):
            best[prefix] = line
    for prefix, line in best.items():
        facts = {"layer": int(line["layer"]), "above_controls": int(line["verdict"] == ABOVE)}
        found.add("best", prefix, facts | {key: line[key] for key in _BEST})
    return found


def panels(schema: Schema) -> tuple[Section, ...]:
    """Effects beside their controls, by layer and at once; their cost; dose and response; the best layer."""
    further = [one for one in schema.metric_columns if one.name not in INTERCHANGE.metrics]
    controls = [control.name for control in schema.controls]
    return (
        _by_layer(controls),
        Section(
            "Layer by component", "A line for each component edited.", tuple(_plain("curves")), varying="component"
        ),
        *([plain(schema, further, "Further metrics")] if further else []),
        Section(
            "Precision against effectiveness",
            "Up and right is better: nearer to the desired concept, and nothing else moved.",
            (
                Panel("every layer (nats)", "points", ("precision",), x="effectiveness"),
                Panel("each run's best layer (nats)", "scatter", ("best/precision",), x="best/effectiveness"),
            ),
        ),
        _HEARD,
        Section("Layers edited at once", "Sets of layers: together is all of them.", tuple(_beside("bars", controls))),
        Section(
            "Dose and response",
            "Against the strength, a factor on the edit's shift.",
            (
                *_plain("scatter", "best layer: ", "best/", x="config.strength"),
                *_plain("scatter", x="config.strength"),
            ),
            varying="strength",
        ),
        Section(
            "Best single layer",
            "The layer with the greatest effectiveness. With few prompts it is the luckiest of many: see its interval.",
            (
                Panel(INTERCHANGE.metric("effectiveness").title, "bars", spread("best/effectiveness")),
                Panel("which layer", "bars", ("best/layer",)),
            ),
        ),
    )


_BOTH = {"effectiveness": (), "precision": ("ideal_precision",)}


def _plain(kind: Kind, title: str = "", before: str = "", x: str = "") -> list[Panel]:
    """Effectiveness and precision."""
    return [Panel(title + INTERCHANGE.metric(name).title, kind, (before + name,), x=x) for name in _BOTH]


def _beside(kind: Kind, controls: Sequence[str]) -> list[Panel]:
    """Effectiveness and precision with the ends of their intervals, and those of the controls."""
    return [
        Panel(
            INTERCHANGE.metric(name).title,
            kind,
            (*spread(name), *level),
            tuple(f"control/{c}/{name}" for c in controls),
        )
        for name, level in _BOTH.items()
    ]


def _by_layer(controls: Sequence[str]) -> Section:
    return Section(
        "Effect by layer",
        "Means over prompts with the ends of their intervals. The margin is the effectiveness less that of the highest "
        "control, prompt by prompt; an effect counts where p is small enough: it is adjusted over all sites. "
        "Effectiveness is the log-odds, precision the inverse KL divergence.",
        (
            *_beside("curves", controls),
            Panel("margin over the highest control (nats)", "curves", _MARGIN[:1], if_logged=_MARGIN[1:3]),
            Panel("p, above every control", "curves", _MARGIN[3:]),
        ),
    )


_HEARD = Section(
    "What is heard",
    "The share of clips in which the desired concept is heard instead, and in which the other category's word is still "
    "heard; and how well each concept's labels rank, after the edit and before it.",
    (
        Panel("flipped", "curves", spread("flipped")),
        Panel("kept", "curves", (*spread("kept"), "kept_before")),
        *(
            Panel(f"NDCG, {one} concept", "curves", (*spread(f"ndcg_{one}"), f"ndcg_{one}_before"))
            for one in ("desired", "original")
        ),
    ),
)
