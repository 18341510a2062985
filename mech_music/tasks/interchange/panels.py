"""What interchanges log to W&B, and the panels that show it."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pandas as pd

from mech_music.dashboard.panels import Panel, Section, spread
from mech_music.results.tables import ABOVE, Line, lines_of, schema_of
from mech_music.tasks.interchange.columns import INTERCHANGE
from mech_music.tasks.interchange.controls import beside_controls, controls_run
from mech_music.tracking.curves import ENDS, Curves, prefixes, spreads, word_of

_CONTROL_METRICS = ("effectiveness", "precision", "kept")
_BEST = (*spread("effectiveness"), "precision", "kept", "flipped")
_ALIASES = {"log_odds": "effectiveness", "inverse_kl": "precision"}
_PARTS = (
    lambda line: f"{line['original']}-{line['desired']}",
    word_of("component"),
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
        prefix = before(line)
        found.add(line["layer"], prefix, metrics)
        if line["layer"].isdecimal() and line["effectiveness"] > best.get(prefix, {}).get("effectiveness", -math.inf):
            best[prefix] = line
    for prefix, line in best.items():
        facts = {"layer": int(line["layer"]), "above_controls": int(line["verdict"] == ABOVE)}
        found.add("best", prefix, facts | {key: line[key] for key in _BEST})
    return found


def panels() -> tuple[Section, ...]:
    """Effects beside their controls, by layer and at once; their cost; dose and response; the best layer."""
    effect = INTERCHANGE.metric("effectiveness").title

    def both(kind: Any, title: str = "", before: str = "", ends: bool = False, x: str = "") -> list[Panel]:
        made = []
        for name, level in (("effectiveness", ()), ("precision", ("ideal_precision",))):
            keys = (*spread(name), *level) if ends else (before + name,)
            beside = tuple(f"control/{one.name}/{name}" for one in INTERCHANGE.controls if ends)
            made.append(Panel(title + INTERCHANGE.metric(name).title, kind, keys, beside, x))
        return made

    upper = tuple(f"control/{control.name}/effectiveness_high" for control in INTERCHANGE.controls)
    curve = partial(Panel, kind="curves")
    return (
        Section(
            "Effect by layer",
            "Means over prompts with the ends of their intervals. An effect counts where its lower end lies above the "
            "upper ends of all controls. Effectiveness is the log-odds, precision the inverse KL divergence.",
            (
                *both("curves", ends=True),
                curve("lower end, and the controls' upper ends", keys=("effectiveness_low",), if_logged=upper),
            ),
        ),
        Section("Layer by component", "A line for each component edited.", tuple(both("curves")), varying="component"),
        Section(
            "Precision against effectiveness",
            "Up and right is better: nearer to the desired concept, and nothing else moved.",
            (
                Panel("every layer (nats)", "points", ("precision",), x="effectiveness"),
                Panel("each run's best layer (nats)", "scatter", ("best/precision",), x="best/effectiveness"),
            ),
        ),
        Section(
            "What is heard",
            "The share of clips in which the desired concept is heard instead, and in which the other category's word "
            "is still heard; and how well each concept's labels rank, after the edit and before it.",
            (
                curve("flipped", keys=spread("flipped")),
                curve("kept", keys=(*spread("kept"), "kept_before")),
                *(
                    curve(f"NDCG, {one} concept", keys=(*spread(f"ndcg_{one}"), f"ndcg_{one}_before"))
                    for one in ("desired", "original")
                ),
            ),
        ),
        Section("Layers edited at once", "Sets of layers: together is all of them.", tuple(both("bars", ends=True))),
        Section(
            "Dose and response",
            "Against the strength, a factor on the edit's shift.",
            (
                *both("scatter", "best layer: ", "best/", x="config.strength"),
                *both("scatter", x="config.strength"),
            ),
            varying="strength",
        ),
        Section(
            "Best single layer",
            "The layer with the greatest effectiveness. With few prompts it is the luckiest of many: see its interval.",
            (Panel(effect, "bars", spread("best/effectiveness")), Panel("which layer", "bars", ("best/layer",))),
        ),
    )
