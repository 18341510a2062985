"""Effects against their controls, prompt by prompt: which control belongs to which, and by how much it is beaten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float64

from mech_music.metrics.inference import Margins, margins
from mech_music.results.columns import Comparison, Role, Schema

Axes: TypeAlias = tuple[Any, ...]
NOT_COMPARED = {"over": "", **dict.fromkeys(("margin", "margin_low", "margin_high", "p_above", "p_below"), np.nan)}


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
    schema: Schema, values: Mapping[Axes, Float64[np.ndarray, " unit"]], resamples: int, level: float, seed: int
) -> dict[Axes, dict[str, Any]]:
    """For each effect that has a control: ``margin`` over the highest one (``over``) with its interval, ``p_above`` and
    ``p_below`` against all of them, adjusted over all the effects. Both are 1 where a control's clips failed.

    ``values``: by axes, the metric that is compared, a place for each prompt and NaN where there is none.
    """
    comparison = schema.comparison
    if comparison is None:
        return {}
    lines, groups = Lines(schema, comparison, values), dict[Axes, list[Axes]]()
    controls: dict[Axes, list[Axes | None]] = {}
    for effect in lines.of_role(schema.roles[0]):
        controls[effect] = [lines.control_of(effect, role) for role in schema.controls]
        # Effects on the same unedited clips share their units.
        groups.setdefault(lines.without(effect, comparison.edit), []).append(effect)
    differences = [_differences({effect: controls[effect] for effect in own}, values) for own in groups.values()]
    found = margins(differences, resamples, level, seed)
    return {
        effect: _highest(schema, one, place, [control is not None for control in controls[effect]])
        for own, one in zip(groups.values(), found, strict=True)
        for place, effect in enumerate(own)
        if any(control is not None for control in controls[effect])
    }


def _differences(
    beside: Mapping[Axes, Sequence[Axes | None]], values: Mapping[Axes, np.ndarray]
) -> Float64[np.ndarray, "site control unit"]:
    """Effect less control; ``beside``: each effect's controls."""
    units = max(len(values[effect]) for effect in beside)
    found = np.full((len(beside), max(map(len, beside.values())), units), np.nan)
    for place, (effect, controls) in enumerate(beside.items()):
        for number, control in enumerate(controls):
            if control is not None:
                n = min(len(values[effect]), len(values[control]))
                found[place, number, :n] = values[effect][:n] - values[control][:n]
    return found


def _highest(schema: Schema, found: Margins, place: int, run: Sequence[bool]) -> dict[str, Any]:
    p = {"p_above": found.above[place], "p_below": found.below[place]}
    adjusted = {name: float(np.where(np.isnan(part), 1.0, part)[np.array(run)].max()) for name, part in p.items()}
    if np.isnan(found.mean[place]).all():
        return NOT_COMPARED | adjusted
    at = int(np.nanargmin(found.mean[place]))
    ends = {"margin": found.mean, "margin_low": found.low, "margin_high": found.high}
    return {
        "over": schema.controls[at].name,
        **{name: float(part[place, at]) for name, part in ends.items()},
        **adjusted,
    }
