"""The workspace and the report of a folder's runs, as the W&B library's objects.

Imported by the command only: the library takes a second to import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from mech_music.base.errors import UserError
from mech_music.base.quiet import quiet_imports
from mech_music.config.schema import RunConfig
from mech_music.dashboard.panels import Panel, Section, sections_of
from mech_music.report.default import view_of
from mech_music.report.found import Found, Job
from mech_music.report.view import View
from mech_music.results.results import SUMMARY
from mech_music.results.tables import read_summary
from mech_music.tracking.curves import Curves, curves_of

with quiet_imports():
    import wandb_workspaces.reports.v2.interface as wr
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces import expr

MOST = 12  # pairs of one run, or of a report: those with the greatest values, or the first
_UNSAFE = set("=<>'\"\\")  # the library's filters read these inside words as well
_DASHES: Sequence[Any] = ("dashed", "dotted", "dotdash", "dotdotdash")


@dataclass(frozen=True)
class LoggedRun:
    """One W&B run. ``axes``: its config's words and numbers. ``keys``: the greatest value by place and key."""

    run_id: str
    axes: Mapping[str, Any]
    x: str
    keys: Mapping[str, Mapping[str, float]]


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
    def view(self) -> View:
        """The task's page, for its words and colours."""
        return view_of(self.found.schema)

    @cached_property
    def sections(self) -> list[tuple[Section, list[Panel]]]:
        """The sections of which these runs logged something, each with its panels, whose keys are whole."""
        wanted = [one for one in sections_of(self.found.schema) if not one.varying or one.varying in self.varying]
        filled = [(one, [*chain.from_iterable(_placed(panel, self.runs) for panel in one.panels)]) for one in wanted]
        return [(section, panels) for section, panels in filled if panels]

    @cached_property
    def workspace(self) -> ws.Workspace:
        """Every section, with the runs grouped by what was swept, and the best values in the runs' table."""
        named = [axis for axis in self.varying if isinstance(self.runs[0].axes[axis], str)]
        best = list(dict.fromkeys(key for run in self.runs for key in run.keys["summary"] if "best/" in key))
        configs = ["config:" + ".value.".join(f"{axis}.".split(".", 1)).strip(".") for axis in self.varying]
        made = ws.Workspace(
            entity=self.entity,
            project=self.project,
            name=self.title,
            sections=[
                ws.Section(name=one.name, panels=[self._draw(panel, one.name) for panel in panels], is_open=True)
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

    def _grids(self, section: Section, panels: Sequence[Panel]) -> list[Any]:
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

    def _grid(self, section: Section, panels: Sequence[Panel], runs: Sequence[LoggedRun], **same: str) -> wr.PanelGrid:
        # The library looks up a project that is named, over the network: left out until there is an account.
        where: dict[str, Any] = {"project": self.project, "entity": self.entity} if self.entity else {}
        name = " ".join(same.values())
        runset = wr.Runset(name=name or "runs", filters=self._only(**same), **where)
        runset._id = _identity("runset", section.name, name, *(run.run_id for run in runs))
        drawn = [self._draw(panel, f"{section.name} {name}", runs) for panel in panels]
        for at, one in enumerate(drawn):
            one.layout = wr.Layout(x=12 * (at % 2), y=8 * (at // 2), w=12, h=8)
        return wr.PanelGrid(runsets=[runset], panels=drawn)

    def _draw(self, panel: Panel, place: str, runs: Sequence[LoggedRun] = ()) -> Any:
        """The library's panel, with an id made of its ``place``. ``runs``: those whose lines have styles."""
        title, keys = panel.title, list(panel.keys)
        match panel.kind:
            case "curves" | "points":
                x = panel.x or self.runs[0].x
                lines = self._lines(panel, runs)
                made: Any = wr.LinePlot(title=title, x=x, y=[*keys], title_x=x, smoothing_type="none", **lines)
            case "bars":
                made = wr.BarPlot(title=title, metrics=[*keys])
            case "scatter":
                config = panel.x.removeprefix("config.")
                x = wr.SummaryMetric(panel.x) if config == panel.x else wr.Config(config)
                made = wr.ScatterPlot(title=title, x=x, y=wr.SummaryMetric(keys[0]))
            case "media":
                made = wr.MediaBrowser(title=title, media_keys=keys)
            case "table":
                made = wr.WeavePanelSummaryTable(table_name=keys[0])
        made._id = _identity(place, title, panel.kind, *keys)
        return made

    def _lines(self, panel: Panel, runs: Sequence[LoggedRun]) -> dict[str, Any]:
        """Name, colour, width and dash of every line of every run."""
        styles = {f"{run.run_id}:{key}": self._style(run, key, panel.kind) for run in runs for key in panel.keys}
        names = ("line_titles", "line_colors", "line_widths", "line_marks")
        return {name: {key: style[at] for key, style in styles.items()} for at, name in enumerate(names) if styles}

    def _style(self, run: LoggedRun, key: str, kind: str) -> tuple[str, str, float, str]:
        words, colours = self.view.words, self.view.colours
        name = ", ".join(words.get(axis, {}).get(run.axes[axis], str(run.axes[axis])) for axis in self.varying) or "run"
        *before, last = key.split("/")
        if "control" in before:
            control = before[before.index("control") + 1]
            role = self.found.schema.role(control)
            dash = _DASHES[self.found.schema.controls.index(role) % len(_DASHES)]
            return f"{name}, {role.label}", role.colour, 1.0, dash
        if last in {measure.level for measure in self.view.measures.values()}:
            return last.replace("_", " "), "#000000", 1.0, "dotdotdash"
        end = next((f", {end}" for end in ("low", "high", "before") if last.endswith(f"_{end}")), "")
        own = [colours[axis][run.axes[axis]] for axis in colours if run.axes.get(axis) in colours[axis]]
        mark = "points" if kind == "points" else "dotted" if end else "solid"
        return name + end, own[0] if own else "#000000", 0.8 if end else 2.0, mark


def _identity(*words: str) -> str:
    """Twelve hex digits for the words: the library's own ids are drawn at random."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def _placed(panel: Panel, runs: Sequence[LoggedRun]) -> list[Panel]:
    """The panel with whole keys, for each beginning with which its first key was logged."""
    logged: dict[str, float] = {}
    for run in runs:
        logged |= {key: max(value, logged.get(key, value)) for key, value in run.keys[panel.place].items()}
    if panel.place == "media":
        keys = tuple(key for key in logged if key.startswith(panel.keys))
        return [replace(panel, keys=keys)] if keys else []
    first = panel.keys[0]
    before = {key.removesuffix(first) for key in logged if key.endswith(first)}
    # `control` and `best` are parts of keys that no pair's own keys begin with.
    told = [one for one in before if one[-1:] in ("", "/") and not {"control", "best"} & {*one.split("/")}]
    kept = sorted(told, key=lambda one: -logged[one + first])[:MOST]
    return [_begun(panel, one, logged) for one in sorted(kept)]


def _begun(panel: Panel, before: str, logged: Mapping[str, float]) -> Panel:
    keys = (*panel.keys, *(key for key in panel.if_logged if before + key in logged))
    x = panel.x if not panel.x or panel.x.startswith("config.") else before + panel.x
    title = f"{before.rstrip('/').replace('/', ', ')}: {panel.title}" if before else panel.title
    return replace(panel, title=title, keys=tuple(before + key for key in keys), x=x)


# -- what was logged ---------------------------------------------------------------------------------------


def _group(folder: Path) -> str | None:
    """The group of a sweep's runs; None for a single run, which has none."""
    return "/".join(folder.resolve().parts[-2:]) if (folder / "multirun.yaml").is_file() else None


def _logged(job: Job) -> LoggedRun | None:
    """By the name of W&B's own folder, ``[offline-]run-<when>-<id>``, the newest; None if there is none."""
    ids = sorted(path.name for path in (job.folder / "wandb").glob("*run-*-*") if path.is_dir())
    if not ids or job.run is None or not (job.folder / SUMMARY).is_file():
        return None
    curves: Curves = curves_of(read_summary(job.folder / SUMMARY))
    history: dict[str, float] = {}
    for metrics in curves.history.values():
        history |= {key: max(value, history.get(key, value)) for key, value in metrics.items()}
    sounds = ["audio"] if any((job.folder / "audio").glob("*.wav")) else []
    figures = sorted(f"figures/{path.stem}" for path in (job.folder / "figures").glob("*.png"))
    media = dict.fromkeys((*sounds, *figures, "summary", "clips"), 0.0)
    keys = {"history": history, "summary": curves.summary, "media": media}
    return LoggedRun(ids[-1].rpartition("-")[2], _axes(job.run), curves.x, keys)


def _axes(run: RunConfig) -> dict[str, Any]:
    """The config's words and numbers, groups by their names."""
    flat = pd.json_normalize(asdict(run)).iloc[0].to_dict()
    named = {str(key): value for key, value in flat.items() if "." not in str(key) or str(key).endswith(".name")}
    return {key: value for key, value in named.items() if isinstance(value, str | int | float)}
