"""The workspace and the report of a folder's runs, as the W&B library's objects.

Imported by the command only: the library takes a second to import.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from mech_music.config.schema import RunConfig
from mech_music.dashboard.panels import Kind, Panel, Section, sections_of
from mech_music.errors import UserError
from mech_music.models.quiet import quiet_imports
from mech_music.report.default import view_of
from mech_music.report.found import Found, Job
from mech_music.results.results import SUMMARY
from mech_music.results.tables import read_summary
from mech_music.tracking.curves import curves_of

with quiet_imports():
    import wandb_workspaces.reports.v2.interface as wr
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces import expr

MOST = 12  # pairs of one run, or of a report: those with the greatest values, or the first
_UNSAFE = set("=<>'\"\\")  # the library's filters read these inside words as well
_DASHES: Sequence[Any] = ("dashed", "dotted", "dotdash")
_GREY, _BLACK = "#777777", "#000000"


@dataclass(frozen=True)
class LoggedRun:
    """One W&B run. ``history``, ``summary``: its keys, each with its greatest value; ``axes``: what decides it."""

    run_id: str
    axes: Mapping[str, Any]
    x: str
    history: Mapping[str, float]
    summary: Mapping[str, float]
    media: tuple[str, ...]


@dataclass(frozen=True)
class Placed:
    """A panel as these runs fill it: ``before`` is the beginning of its keys, ``keys`` are whole."""

    panel: Panel
    before: str
    keys: tuple[str, ...]

    @property
    def title(self) -> str:
        before = self.before.rstrip("/").replace("/", ", ")
        return f"{before}: {self.panel.title}" if before else self.panel.title


@dataclass(frozen=True)
class Views:
    """What is shown, and where. ``entity``: empty as long as nobody publishes.

    Raises UserError on first use if the folder's runs did not log to W&B.
    """

    found: Found
    project: str
    entity: str = ""

    @cached_property
    def runs(self) -> list[LoggedRun]:
        runs = [run for job in self.found.jobs if (run := _logged(job)) is not None]
        if not runs:
            folder = self.found.folder
            raise UserError(f"no W&B runs in '{folder}': its jobs ran with logger=none; run them with logger=wandb")
        return runs

    @cached_property
    def varying(self) -> list[str]:
        """The parts of the configs in which the runs differ."""
        return [axis for axis in self.runs[0].axes if len({str(run.axes.get(axis)) for run in self.runs}) > 1]

    @cached_property
    def sections(self) -> list[tuple[Section, list[Placed]]]:
        """The sections of which these runs logged something, each with its panels."""
        wanted = [one for one in sections_of(self.found.schema) if not one.varying or one.varying in self.varying]
        filled = [(one, [*chain.from_iterable(_placed(panel, self.runs) for panel in one.panels)]) for one in wanted]
        return [(section, panels) for section, panels in filled if panels]

    @cached_property
    def workspace(self) -> ws.Workspace:
        """Every section, with the runs grouped by what was swept, and the best values in the runs' table."""
        named = [axis for axis in self.varying if isinstance(self.runs[0].axes[axis], str)]
        best = list(dict.fromkeys(key for run in self.runs for key in run.summary if "best/" in key))
        configs = ["config:" + ".value.".join(f"{axis}.".split(".", 1)).strip(".") for axis in self.varying]
        made = ws.Workspace(
            entity=self.entity,
            project=self.project,
            name=self.title,
            sections=[
                ws.Section(name=one.name, panels=[self._draw(panel, place=one.name) for panel in panels], is_open=True)
                for one, panels in self.sections
            ],
            settings=ws.WorkspaceSettings(x_axis=self.runs[0].x, max_runs=100),
            runset_settings=ws.RunsetSettings(
                filters=self._only(),
                groupby=[expr.Config(axis) for axis in named],
                group_colors={**self.view.colours.get(named[0], {})} if named else {},
                pinned_columns=["run:displayName", *configs, *(f"summary:{key}" for key in best[: 4 * MOST])],
            ),
        )
        made._internal_runset_id = _identity("workspace", *(run.run_id for run in self.runs))
        return made

    @cached_property
    def report(self) -> wr.Report:
        """The sections with what they mean, pair by pair; the methods; the command that makes the runs again."""
        blocks: list[Any] = [wr.TableOfContents(), wr.P(self.view.question(self.found))]
        for section, panels in self.sections:
            blocks += [wr.H2(section.name), wr.P(section.meaning), *self._grids(section, panels)]
        blocks.append(wr.H2("Methods"))
        for heading, sentences in self.view.methods(self.found):
            blocks += [wr.H3(heading), *(wr.P(sentence) for sentence in sentences)]
        if self.found.command:
            blocks += [wr.H2("The command"), wr.MarkdownBlock(f"```bash\n{self.found.command}\n```")]
        blocks += [wr.P(note) for note in self.found.missing]
        return wr.Report(project=self.project, entity=self.entity, title=self.title, blocks=blocks, width="fluid")

    @cached_property
    def view(self) -> Any:
        """The task's page, for its words and colours."""
        return view_of(self.found.schema)

    @property
    def title(self) -> str:
        """Plain words: W&B refuses arrows in the name of a workspace."""
        folder = self.found.folder
        return f"{self.view.title(self.found)}, {_group(folder) or folder.resolve().name}".replace(" → ", "-")[:128]

    def _only(self, **same: str) -> expr.And:
        """The sweep's group, or the runs by name; and those whose configs say ``same``."""
        group = _group(self.found.folder)
        by_group = group is not None and not _UNSAFE & set(group)
        runs = expr.Metric("Group") == group if by_group else expr.Metric("ID").isin([run.run_id for run in self.runs])
        return expr.And(runs, *(expr.Config(axis) == value for axis, value in same.items()))

    def _grids(self, section: Section, panels: Sequence[Placed]) -> list[Any]:
        """The section's panels; once for each pair (or concept), if the runs have one each."""
        apart = next((axis for axis in self.view.plain if axis in self.varying), None)
        if apart is None:
            return [self._grid(section, panels, self.runs)]
        values = list(dict.fromkeys(run.axes[apart] for run in self.runs))
        blocks: list[Any] = []
        for value in values[:MOST]:
            own = [run for run in self.runs if run.axes[apart] == value]
            blocks += [wr.H3(value), self._grid(section, panels, own, **{apart: value})]
        more = len(values) - MOST
        return blocks + ([wr.P(f"… and {more} more, in the workspace.")] if more > 0 else [])

    def _grid(self, section: Section, panels: Sequence[Placed], runs: Sequence[LoggedRun], **same: str) -> wr.PanelGrid:
        # The library looks up a project that is named, over the network: left out until there is an account.
        where: dict[str, Any] = {"project": self.project, "entity": self.entity} if self.entity else {}
        name = " ".join(same.values())
        runset = wr.Runset(name=name or "runs", filters=self._only(**same), **where)
        runset._id = _identity("runset", section.name, name, *(run.run_id for run in runs))
        drawn = [self._draw(panel, runs, f"{section.name} {name}") for panel in panels]
        for at, one in enumerate(drawn):
            one.layout = wr.Layout(x=12 * (at % 2), y=8 * (at // 2), w=12, h=8)
        return wr.PanelGrid(runsets=[runset], panels=drawn)

    def _draw(self, placed: Placed, runs: Sequence[LoggedRun] = (), place: str = "") -> Any:
        """The library's panel. With ``runs``, their lines have the names, colours and dashes of the figures.

        ``place``: where it stands, from which it gets an id that is the same each time.
        """
        made = self._drawn(placed, runs)
        made._id = _identity(place, placed.title, placed.panel.kind.value, *placed.keys)
        return made

    def _drawn(self, placed: Placed, runs: Sequence[LoggedRun]) -> Any:
        keys, title, (section, _, name) = list(placed.keys), placed.title, placed.panel.x.partition(".")
        match placed.panel.kind:
            case Kind.curves | Kind.points:
                x = placed.before + placed.panel.x if placed.panel.x else self.runs[0].x
                lines = self._lines(keys, runs, dots=placed.panel.kind is Kind.points)
                return wr.LinePlot(title=title, x=x, y=list(keys), title_x=x, smoothing_type="none", **lines)
            case Kind.bars:
                return wr.BarPlot(title=title, metrics=list(keys))
            case Kind.scatter:
                x = wr.Config(name) if section == "config" else wr.SummaryMetric(placed.before + placed.panel.x)
                return wr.ScatterPlot(title=title, x=x, y=wr.SummaryMetric(keys[0]))
            case Kind.media:
                return wr.MediaBrowser(title=title, media_keys=keys)
            case Kind.table:
                return wr.WeavePanelSummaryTable(table_name=keys[0])

    def _lines(self, keys: Sequence[str], runs: Sequence[LoggedRun], dots: bool) -> dict[str, Any]:
        """Name, colour, width and dash of every line of every run."""
        styles = [(f"{run.run_id}:{key}", *self._style(run, key, dots)) for run in runs for key in keys]
        names = ("line_titles", "line_colors", "line_widths", "line_marks")
        return {name: {one[0]: one[at] for one in styles} for at, name in enumerate(names, start=1)} if runs else {}

    def _style(self, run: LoggedRun, key: str, dots: bool) -> tuple[str, str, float, str]:
        words, colours = self.view.words, self.view.colours
        name = ", ".join(words.get(axis, {}).get(run.axes[axis], str(run.axes[axis])) for axis in self.varying) or "run"
        parts = key.split("/")
        if "control" in parts:
            control = parts[parts.index("control") + 1]
            dash = _DASHES[self.found.schema.roles[1:].index(control) % len(_DASHES)]
            return f"{name}, {words.get('controls', {}).get(control, control)}", _GREY, 1.0, dash
        if parts[-1] in {measure.level for measure in self.view.measures.values()}:
            return parts[-1].replace("_", " "), _BLACK, 1.0, "dotdotdash"
        end = next((f", {end}" for end in ("low", "high", "before") if parts[-1].endswith(f"_{end}")), "")
        own = [colours[axis][run.axes[axis]] for axis in colours if run.axes.get(axis) in colours[axis]]
        mark = "points" if dots else "dotted" if end else "solid"
        return name + end, own[0] if own else _BLACK, 0.8 if end else 2.0, mark


def _identity(*words: str) -> str:
    """Twelve hex digits for the words: the library's own ids are drawn at random."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


# -- what was logged ---------------------------------------------------------------------------------------


def _group(folder: Path) -> str | None:
    """The group of a sweep's runs; None for a single run, which has none."""
    return "/".join(folder.resolve().parts[-2:]) if (folder / "multirun.yaml").is_file() else None


def _logged(job: Job) -> LoggedRun | None:
    """From the name of W&B's own folder, ``[offline-]run-<when>-<id>``, the newest; None if there is none."""
    ids = sorted(path.name for path in (job.folder / "wandb").glob("*run-*-*") if path.is_dir())
    if not ids or job.run is None or not (job.folder / SUMMARY).is_file():
        return None
    curves = curves_of(read_summary(job.folder / SUMMARY))
    greatest: dict[str, float] = {}
    for metrics in curves.history.values():
        greatest |= {key: max(value, greatest.get(key, -math.inf)) for key, value in metrics.items()}
    sounds = ["audio"] if any((job.folder / "audio").glob("*.wav")) else []
    figures = sorted(f"figures/{path.stem}" for path in (job.folder / "figures").glob("*.png"))
    media = (*sounds, *figures, "summary", "clips")
    return LoggedRun(ids[-1].rpartition("-")[2], _axes(job.run), curves.x, greatest, curves.summary, media)


def _axes(run: RunConfig) -> dict[str, Any]:
    """The config's words and numbers, groups by their names."""
    flat = pd.json_normalize(asdict(run)).iloc[0].to_dict()
    named = {str(key): value for key, value in flat.items() if "." not in str(key) or str(key).endswith(".name")}
    return {key: value for key, value in named.items() if isinstance(value, str | int | float)}


def _placed(panel: Panel, runs: Sequence[LoggedRun]) -> list[Placed]:
    """A panel for each beginning with which its first key was logged."""
    if panel.kind in (Kind.media, Kind.table):
        folders = tuple(key for key in panel.keys if key.endswith("/"))
        media = dict.fromkeys(chain.from_iterable(run.media for run in runs))
        keys = tuple(key for key in media if key in panel.keys or (folders and key.startswith(folders)))
        return [Placed(panel, "", keys)] if keys else []
    logged: dict[str, float] = {}
    for run in runs:
        own = run.history if panel.kind in (Kind.curves, Kind.points) else run.summary
        logged |= {key: max(value, logged.get(key, value)) for key, value in own.items()}
    first = panel.keys[0]
    before = {key.removesuffix(first) for key in logged if key.endswith(first)}
    # `control` and `best` are parts of keys that no pair's own keys begin with.
    told = [one for one in before if one[-1:] in ("", "/") and not {"control", "best"} & {*one.split("/")}]
    kept = sorted(sorted(told, key=lambda one: -logged[one + first])[:MOST])
    named = [(*panel.keys, *(key for key in panel.if_logged if one + key in logged)) for one in kept]
    return [Placed(panel, one, tuple(one + key for key in keys)) for one, keys in zip(kept, named, strict=True)]
