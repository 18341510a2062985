"""What a results table consists of, as data: its columns, the roles of its lines, and what each of them means.

A table is tidy: one line per condition (an intervention, a layer that is read, …) and prompt. The *axes* tell
conditions apart; a summary has one line per distinct axes. Each task declares its own (``tasks/<task>/columns.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from mech_music.metrics.metric import Metric

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Column:
    """``dtype`` is a pandas type; ``unit`` is empty for names, counts and yes/no."""

    name: str
    dtype: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Role:
    """What lines are there for: the effect itself (a schema's first role), or a control that is shown beside it.

    word: how legends call it. dash: lengths drawn and left out, points. marker: one of Matplotlib's.
    level: it has no layer, and is shown as one level beside all of them. loose: axes in which an edit's control may
    differ from the effect, where there is none that agrees: the first, then both, ….
    """

    name: str
    word: str = ""
    meaning: str = ""
    colour: str = "#777777"
    dash: tuple[float, ...] = (2, 1.5)
    marker: str = "x"
    level: bool = False
    loose: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """``control: another seed (noise)``."""
        return f"control: {self.word or self.name}"


TASK = Column("task", "str", "", "the task that wrote the line")
MODEL = Column("model", "str", "", "the model that made the clip")
CLASSIFIER = Column("classifier", "str", "", "the classifier that listened to it")
POINT = Column("component", "str", "", "the point of the layer: after its sa, ca or mlp (resid: the same as mlp)")
DURATION = Column("duration", "float64", "s", "length of the clip")
SEED = Column("seed", "int64", "", "seed of the sampling noise")
PROMPTS = Column("prompts", "int64", "", "number of prompts of the job")
PROMPT_SET = Column("prompt_set", "str", "", "the prompt set that they are from")
INDEX = Column("index", "int64", "", "number of the prompt, from 0")
REPEAT = Column("repeat", "int64", "", "number of the clip among those of its prompt, from 0: seeds, and draws of each")
PROMPT = Column("prompt", "str", "", "the prompt")
SEEDS = Column("seeds", "int64", "", "clips of each prompt, with seeds from `seed` on")
OF_THE_RUN = (DURATION, SEED, PROMPTS, PROMPT_SET)
"""What every clip of a job has in common."""
_STATE = (Column("failed", "bool", "", "the clip could not be made: all its metrics are missing (NaN)"),)


@dataclass(frozen=True)
class Comparison:
    """How effects are compared with their controls: by which ``metric``.

    edit: axes that a control without an edit does not have; effects that agree on all others share their clips.
    also: metrics that have a mark of their own. dose: the axis that a slope is taken along. pooled: axes over which
    means of ``pooled_metrics`` are taken as well.
    """

    metric: str
    edit: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    dose: str = ""
    pooled: tuple[str, ...] = ()
    pooled_metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Schema:
    """The table of one task. ``declared``: what its lines may be there for, the effect first."""

    task: str
    declared: tuple[Role, ...]
    axis_columns: tuple[Column, ...]
    clip_columns: tuple[Column, ...]
    metric_columns: tuple[Metric, ...]
    comparison: Comparison | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Schema:
        return self  # tables carry it, and pandas copies what a table carries with every operation

    @property
    def roles(self) -> tuple[str, ...]:
        """The names of the roles, the effect first."""
        return tuple(role.name for role in self.declared)

    @property
    def controls(self) -> tuple[Role, ...]:
        """The roles that are shown beside the effect."""
        return self.declared[1:]

    def role(self, name: str) -> Role:
        """A role by its name. KeyError if there is none."""
        return {role.name: role for role in self.declared}[name]

    def metric(self, name: str) -> Metric:
        """A metric by its name. KeyError if there is none."""
        return {metric.name: metric for metric in self.metric_columns}[name]

    @property
    def columns(self) -> tuple[Column | Metric, ...]:
        return self.axis_columns + self.clip_columns + self.metric_columns + _STATE

    @property
    def axes(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.axis_columns)

    @property
    def own_axes(self) -> tuple[str, ...]:
        """The axes of this task alone, those of numbers (and the layer) first; the last of all if it has none."""
        shared = ("role", *(column.name for column in (TASK, MODEL, CLASSIFIER, DURATION, SEED, PROMPTS, PROMPT_SET)))
        own = [column for column in self.axis_columns if column.name not in shared]
        numbers = [column.name for column in own if column.dtype != "str" or column.name == "layer"]
        return tuple(dict.fromkeys([*numbers, *(column.name for column in own)])) or self.axes[-1:]

    def axes_beside(self, *within: str) -> tuple[str, ...]:
        """The axes that tell apart what is shown apart; ``within``: those that one picture or table shows at once."""
        return tuple(name for name in self.axes if name not in ("task", "role", *within))

    @property
    def numbering(self) -> tuple[str, ...]:
        """What tells the lines of one condition apart: the prompt, and which of its clips where there are several."""
        return tuple(column.name for column in (INDEX, REPEAT) if column in self.clip_columns)

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(metric.name for metric in self.metric_columns)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def summary_columns(self) -> tuple[Column, ...]:
        """The columns of a summary: the axes, counts, and each metric's mean with the ends of its interval."""
        counts = (
            Column("n", "int64", "", "clips in the means"),
            Column("failed", "int64", "", "clips left out because they could not be made"),
            Column("level", "float64", "", "level of the intervals"),
            Column("resamples", "int64", "", "bootstrap resamples behind the intervals"),
        )
        spread = [
            Column(metric.name + end, "float64", metric.unit, metric.meaning + what)
            for metric in self.metric_columns
            for end, what in (("", ": mean"), ("_low", ": lower end"), ("_high", ": upper end"))
        ]
        return self.axis_columns + counts + tuple(spread) + self.margin_columns + self.across_columns

    @property
    def margin_columns(self) -> tuple[Column, ...]:
        """What a summary says of each effect against its controls (`mech_music.results.comparison`)."""
        if self.comparison is None:
            return ()
        metric = self.metric(self.comparison.metric)
        less = f"{metric.name} less that of its highest control, prompt by prompt"
        return (
            Column("over", "str", "", "the control whose margin is the smallest; empty for controls"),
            Column("margin", "float64", metric.unit, f"{less}: mean"),
            Column("margin_low", "float64", metric.unit, f"{less}: lower end"),
            Column("margin_high", "float64", metric.unit, f"{less}: upper end"),
            Column("margin_most", "float64", metric.unit, "how far from some control its interval still reaches"),
            Column("equivalence", "float64", metric.unit, "a distance from every control that counts as none"),
            Column("detectable", "float64", metric.unit, "a margin that is marked in 80 % of such tables"),
            Column("p_above", "float64", "", "one-sided p that it is above every control, adjusted over the table"),
            Column("p_below", "float64", "", "one-sided p that it is below every control, adjusted over the table"),
            *(
                Column(f"p_above_{name}", "float64", "", f"the same p that its {name} is above every control's")
                for name in self.comparison.also
            ),
        )

    @property
    def across_columns(self) -> tuple[Column, ...]:
        """What a summary says of several conditions together (`mech_music.results.across`)."""
        if self.comparison is None:
            return ()
        unit = self.metric(self.comparison.metric).unit
        spread = [("selected_margin", unit, "margin of the sites that other prompts chose as the best")]
        if self.comparison.dose:
            grows = f"{self.comparison.metric} for a unit of {self.comparison.dose}"
            spread += [("slope", unit, grows), ("slope_margin", unit, f"{grows}, less that of its steepest control")]
        spread += [
            (f"pooled_{name}", self.metric(name).unit, f"{name}, mean over {' and '.join(self.comparison.pooled)}")
            for name in self.comparison.pooled_metrics
        ]
        ends = (("", ": mean"), ("_low", ": lower end"), ("_high", ": upper end"))
        return (
            Column("chosen", "float64", "", "share of folds in which the site is the best one on the other prompts"),
            *(Column(name + end, "float64", unit, words + what) for name, unit, words in spread for end, what in ends),
        )

    # -- more of it, and on its way ------------------------------------------------------------------------

    def extended(self, roles: Iterable[Role] = (), metrics: Iterable[Metric] = ()) -> Schema:
        """With further controls and metrics; those that it has stay as they are."""
        more = tuple(role for role in roles if role.name not in self.roles)
        columns = tuple(metric for metric in metrics if metric.name not in self.metrics)
        return replace(self, declared=self.declared + more, metric_columns=self.metric_columns + columns)

    def attach(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table, which carries this schema from now on."""
        table.attrs["schema"] = self
        return table

    def to_json(self) -> str:
        """As text, to be written into files."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Schema:
        """From text. ValueError for text that is no schema."""
        try:
            found = json.loads(text)
            roles = tuple(
                Role(**{**role, "dash": tuple(role["dash"]), "loose": tuple(role.get("loose", ()))})
                for role in found["declared"]
            )
            axes, clips = (tuple(Column(**one) for one in found[f"{part}_columns"]) for part in ("axis", "clip"))
            metrics = tuple(Metric(**metric) for metric in found["metric_columns"])
            compared = found.get("comparison")  # files of earlier versions have none
            lists = {name: tuple(value) for name, value in (compared or {}).items() if isinstance(value, list)}
            comparison = Comparison(**(compared | lists)) if compared else None
            return Schema(found["task"], roles, axes, clips, metrics, comparison)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no schema of a results table: {error}") from error


def layer_order(layer: str) -> tuple[int, int, str]:
    """Sorting key of a layer's name: none, single layers by number, sets by their first layer, ``together``."""
    if layer == "":
        return (0, 0, "")
    if layer.isdecimal():
        return (1, int(layer), "")
    first = layer.split("+")[0].partition(":")[0]
    return (2, int(first), layer) if first.isdecimal() else (3, 0, layer)
