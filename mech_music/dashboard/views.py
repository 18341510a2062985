"""The workspace and the report of a folder's runs, as the W&B library's objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mech_music.dashboard.logged import AXES, LoggedRun, group_of, logged_runs, varying
from mech_music.dashboard.panels import MOST, Placed, draw, identity, sections_for
from mech_music.dashboard.sections import CONFIG_COLUMNS, SUMMARY_COLUMNS, Section
from mech_music.models.quiet import quiet_imports
from mech_music.report.found import Found
from mech_music.report.views import view_of
from mech_music.results.canvas import COLOURS
from mech_music.results.tables import schema_of

with quiet_imports():
    import wandb_workspaces.reports.v2.interface as wr
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces import expr

_UNSAFE = set("=<>'\"\\")  # the library's filters read these inside words as well
_GROUPED = ("component", "technique", "pair", "lens", "reading")


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
        return logged_runs(self.found)

    @cached_property
    def workspace(self) -> ws.Workspace:
        """Every section, with the runs grouped by what was swept, and the best layers in the runs' table."""
        made = ws.Workspace(
            entity=self.entity,
            project=self.project,
            name=self.title,
            sections=[self._section(section.name, panels) for section, panels in self._sections],
            settings=ws.WorkspaceSettings(x_axis="layer", max_runs=100),
            runset_settings=self._runset_settings(),
        )
        made._internal_runset_id = identity("workspace", *(run.run_id for run in self.runs))
        return made

    @cached_property
    def report(self) -> wr.Report:
        """The sections with what they mean, pair by pair; the methods; the command that makes the runs again."""
        said = view_of(schema_of(self.found.table))
        blocks: list[Any] = [wr.TableOfContents(), wr.P(said.question(self.found))]
        for section, panels in self._sections:
            blocks += [wr.H2(section.name), wr.P(section.meaning), *self._grids(section, panels)]
        blocks.append(wr.H2("Methods"))
        for heading, sentences in said.methods(self.found):
            blocks += [wr.H3(heading), *(wr.P(sentence) for sentence in sentences)]
        if self.found.command:
            blocks += [wr.H2("The command"), wr.MarkdownBlock(f"```bash\n{self.found.command}\n```")]
        blocks += [wr.P(note) for note in self.found.missing]
        return wr.Report(project=self.project, entity=self.entity, title=self.title, blocks=blocks, width="fluid")

    @property
    def title(self) -> str:
        """Plain words: W&B refuses arrows in the name of a workspace."""
        task = schema_of(self.found.table).task
        subject = self._pairs() if self._is_interchange else task.replace("_", " ")
        folder = self.found.folder
        return f"{subject}, model {self.found.models}, {group_of(folder) or folder.resolve().name}"[:128]

    @property
    def _is_interchange(self) -> bool:
        return schema_of(self.found.table).task == "interchange"

    def _pairs(self) -> str:
        pairs = self.found.pairs
        return "-".join(pairs[0]) if len(pairs) == 1 else f"{len(pairs)} pairs of concepts"

    @cached_property
    def _sections(self) -> list[tuple[Section, list[Placed]]]:
        return sections_for(self.runs)

    def _only(self, pair: str = "") -> expr.And:
        """The sweep's group, or the runs by name; and the pair."""
        group = group_of(self.found.folder)
        by_group = group is not None and not _UNSAFE & set(group)
        ids = [run.run_id for run in self.runs]
        runs = expr.Metric("Group") == group if by_group else expr.Metric("ID").isin(ids)
        return expr.And(runs, expr.Config("pair") == pair) if pair else expr.And(runs)

    def _section(self, name: str, panels: Sequence[Placed]) -> ws.Section:
        return ws.Section(name=name, panels=[draw(panel, place=name) for panel in panels], is_open=True)

    def _runset_settings(self) -> ws.RunsetSettings:
        grouped = [axis for axis in _GROUPED if axis in varying(self.runs)]
        return ws.RunsetSettings(
            filters=self._only(),
            groupby=[expr.Config(AXES[axis]) for axis in grouped],
            group_colors={**COLOURS} if grouped[:1] == ["component"] else {},
            pinned_columns=self._columns(),
        )

    def _columns(self) -> list[str]:
        values = dict.fromkeys(key for run in self.runs for key in run.values)
        best = [key for key in values if key.endswith(SUMMARY_COLUMNS)]
        names = [name.partition(".") for name in CONFIG_COLUMNS]
        config = [f"config:{first}.value{dot}{rest}" for first, dot, rest in names]
        return ["run:displayName", *config, *(f"summary:{key}" for key in best[: MOST * len(SUMMARY_COLUMNS)])]

    def _grids(self, section: Section, panels: Sequence[Placed]) -> list[Any]:
        """The section's panels; once for each pair, if the runs have one each."""
        pairs = list(dict.fromkeys(run.axis("pair") for run in self.runs))
        if len(pairs) == 1:
            return [self._grid(section, panels, self.runs)]
        blocks: list[Any] = []
        for pair in pairs[:MOST]:
            own = [run for run in self.runs if run.axis("pair") == pair]
            blocks += [wr.H3(pair), self._grid(section, panels, own, pair)]
        more = len(pairs) - MOST
        return blocks + ([wr.P(f"… and {more} more pairs, in the workspace.")] if more > 0 else [])

    def _grid(
        self, section: Section, panels: Sequence[Placed], runs: Sequence[LoggedRun], pair: str = ""
    ) -> wr.PanelGrid:
        # The library looks up a project that is named, over the network: left out until there is an account.
        where: dict[str, Any] = {"project": self.project, "entity": self.entity} if self.entity else {}
        runset = wr.Runset(name=pair or "runs", filters=self._only(pair), **where)
        runset._id = identity("runset", section.name, pair, *(run.run_id for run in runs))
        drawn = [draw(panel, runs, f"{section.name} {pair}") for panel in panels]
        for at, one in enumerate(drawn):
            one.layout = wr.Layout(x=12 * (at % 2), y=8 * (at // 2), w=12, h=8)
        return wr.PanelGrid(runsets=[runset], panels=drawn)
