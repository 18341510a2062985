"""Effects against their controls, prompt by prompt: which control belongs to which, and by how much it is beaten."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float64

from mech_music.metrics.inference import Margins, margins
from mech_music.results.columns import Comparison, Role, Schema

Axes: TypeAlias = tuple[Any, ...]
_NUMBERS = ("margin", "margin_low", "margin_high", "margin_most", "equivalence", "detectable", "p_above", "p_below")


def not_compared(comparison: Comparison) -> dict[str, Any]:
    """What stands in the lines of controls."""
    also = [f"p_above_{name}" for name in comparison.also]
    return {"over": "", **dict.fromkeys((*_NUMBERS, *also), np.nan)}


class Lines:
    """The conditions of a table, by their axes: finds the one that is an effect's control."""

    def __init__(self, schema: Schema, comparison: Comparison, conditions: Iterable[Axes]) -> None:
        self._names, self._conditions = schema.axes, list(conditions)
        self._role = self._names.index("role")
        self._free = {
            role.name: [comparison.edit] if role.level else [role.loose[:n] for n in range(len(role.loose) + 1)]
            for role in schema.controls
        }
        self._found: dict[tuple[str, tuple[str, ...]], dict[Axes, Axes]] = {}

    def of_role(self, role: str) -> list[Axes]:
        """The conditions of one role."""
        return [axes for axes in self._conditions if axes[self._role] == role]

    def control_of(self, effect: Axes, role: Role) -> Axes | None:
        """The control of that role that is closest to the effect in its axes; None where it was not run."""
        for free in self._free[role.name]:
            if (role.name, free) not in self._found:
                own = {self.without(axes, free): axes for axes in reversed(self.of_role(role.name))}
                self._found[role.name, free] = own
            if (control := self._found[role.name, free].get(self.without(effect, free))) is not None:
                return control
        return None

    def without(self, axes: Axes, free: Sequence[str]) -> Axes:
        """The axes but for the role and those that are free."""
        return tuple(value for name, value in zip(self._names, axes, strict=True) if name not in ("role", *free))


def compare(
    schema: Schema,
    values: Mapping[Axes, Float64[np.ndarray, "unit metric"]],
    resamples: int,
    level: float,
    seed: int,
    clips: Mapping[Axes, frozenset[str]] | None = None,
) -> dict[Axes, dict[str, Any]]:
    """For each effect that has a control: ``margin`` over the highest one (``over``) with its interval, and ``p_above``
    and ``p_below`` against all of them, adjusted over all the effects. Both are 1 where a control's clips failed.

    ``margin_most``: the greatest distance from any control that its interval leaves open. ``detectable``: the margin
    that would be marked in 80 % of such tables, NaN if none would. ``values``: by axes, all metrics, a line for each
    prompt, NaN where there is none. Metrics that the comparison names as well have a ``p_above_<metric>``.
    ``clips``: the keys of each condition's clips. A control whose clips are the effect's own is the same edit and says
    nothing; one that was made by another edit and sounds the same is a tie, above which the effect is not.
    """
    comparison = schema.comparison
    if comparison is None:
        return {}
    groups = effects_beside(schema, comparison, values, clips or {})

    def found(metric: str) -> Iterator[tuple[Axes, Margins, int, list[bool]]]:
        less = [group.less(values, schema.metrics.index(metric)) for group in groups]
        for group, one in zip(groups, margins(less, resamples, level, seed), strict=True):
            for place, effect in enumerate(group.controls):
                if any(run := group.run[place].tolist()):
                    yield effect, one, place, run

    told = {effect: _highest(schema, one, place, run) for effect, one, place, run in found(comparison.metric)}
    for name in comparison.also:
        for effect, one, place, run in found(name):
            told[effect][f"p_above_{name}"] = _adjusted(one.above[place], run)
    return told


@dataclass(frozen=True)
class Beside:
    """Effects that share their unedited clips, each with its ``controls``.

    ``run``: where there is a control that was run, and is not the effect's own edit.
    """

    controls: Mapping[Axes, Sequence[Axes | None]]
    run: Bool[np.ndarray, "site control"]

    def less(self, values: Mapping[Axes, np.ndarray], metric: int) -> Float64[np.ndarray, "site control unit"]:
        """Effect less control in one metric; NaN for controls that say nothing."""
        return np.where(self.run[..., None], differences_of(self.controls, values, metric), np.nan)


def effects_beside(
    schema: Schema, comparison: Comparison, conditions: Iterable[Axes], clips: Mapping[Axes, frozenset[str]]
) -> list[Beside]:
    """The effects of a table with their controls. ``clips``: the keys of each condition's clips (see `compare`)."""
    groups = beside_controls(schema, comparison, conditions)
    there = [np.array([[one is not None for one in own] for own in group.values()]) for group in groups]
    return [Beside(group, run & ~_are_the_effect(group, clips)) for group, run in zip(groups, there, strict=True)]


def beside_controls(
    schema: Schema, comparison: Comparison, conditions: Iterable[Axes]
) -> list[dict[Axes, list[Axes | None]]]:
    """The effects of a table, each with its controls; in groups that share their units (the same unedited clips)."""
    lines, groups = Lines(schema, comparison, conditions), dict[Axes, dict[Axes, list[Axes | None]]]()
    for effect in lines.of_role(schema.roles[0]):
        own = groups.setdefault(lines.without(effect, comparison.edit), {})
        own[effect] = [lines.control_of(effect, role) for role in schema.controls]
    return list(groups.values())


def differences_of(
    beside: Mapping[Axes, Sequence[Axes | None]], values: Mapping[Axes, np.ndarray], metric: int
) -> Float64[np.ndarray, "site control unit"]:
    """Effect less control in one metric; ``beside``: each effect's controls."""
    units = max(len(values[effect]) for effect in beside)
    found = np.full((len(beside), max(map(len, beside.values())), units), np.nan)
    for place, (effect, controls) in enumerate(beside.items()):
        for number, control in enumerate(controls):
            if control is not None:
                n = min(len(values[effect]), len(values[control]))
                found[place, number, :n] = values[effect][:n, metric] - values[control][:n, metric]
    return found


def _are_the_effect(
    beside: Mapping[Axes, Sequence[Axes | None]], clips: Mapping[Axes, frozenset[str]]
) -> Bool[np.ndarray, "site control"]:
    """Where a control's clips are the effect's own: nothing can be above it, and it says nothing."""
    return np.array(
        [
            [control is not None and effect in clips and clips[effect] == clips.get(control) for control in controls]
            for effect, controls in beside.items()
        ]
    )


def _adjusted(p: Float64[np.ndarray, " control"], run: Sequence[bool]) -> float:
    """The greatest p over the controls that were run; 1 for one whose clips failed."""
    return float(np.where(np.isnan(p), 1.0, p)[np.array(run)].max())


def _highest(schema: Schema, found: Margins, place: int, run: Sequence[bool]) -> dict[str, Any]:
    assert schema.comparison is not None
    told = {name: value for name, value in not_compared(schema.comparison).items() if name != "equivalence"}
    told |= {f"p_{side}": _adjusted(getattr(found, side)[place], run) for side in ("above", "below")}
    if np.isnan(found.mean[place]).all():
        return told
    at = int(np.nanargmin(found.mean[place]))
    ends = {"margin": found.mean, "margin_low": found.low, "margin_high": found.high}
    told |= {"over": schema.controls[at].name, **{name: float(part[place, at]) for name, part in ends.items()}}
    if np.isfinite(found.low[place][np.array(run)]).all():
        reach = np.maximum(np.abs(found.low[place]), np.abs(found.high[place]))
        detectable = found.detectable[place][np.array(run)]
        told |= {"margin_most": float(np.nanmax(reach)), "detectable": float(detectable.max())}
    return told
