"""Piano rolls: pieces as they are, and as the model goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mech_music.models.symbolic.corpora.fitting import Stretch
from mech_music.models.symbolic.notes import Grid, Note
from mech_music.models.symbolic.pieces import SECTION_BARS
from mech_music.results.canvas import Sheet
from mech_music.tasks.continuation.pieces import Case, bar_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TRACKS = ("#0072B2", "#009E73")
_LAST = "#D55E00"


def piano_rolls(found: Sequence[tuple[Case, list[Note]]], grid: Grid, folder: Path) -> list[Path]:
    """Two panels a piece: its true end, and the one that was generated (in orange)."""
    with Sheet(2 * len(found), width=11, height=2.1 * len(found) + 0.8, columns=2, share_y="row") as sheet:
        for at, (case, notes) in enumerate(found):
            for side, last in enumerate((case.true, bar_of(notes, case.last))):
                axes = sheet.axes[2 * at + side]
                _draw(axes, case.own, last, grid)
                axes.set_title(f"{('true', 'continued')[side]}: {_words(case)}", fontsize=8, fontweight="normal")
        for axes in sheet.axes[-2:]:
            axes.set_xlabel("bar")
        sheet.words(
            "Pieces and their last bar, as it is and as the model goes on",
            "Blue: melody, green: bass, orange: the last bar. Dotted: sections. One piece of each kind, the first.",
        )
        return sheet.save(folder / "figures", "piano-rolls")


def _draw(axes: Axes, given: Sequence[Note], last: Sequence[Note], grid: Grid) -> None:
    for notes, colours in ((given, _TRACKS), (last, (_LAST, _LAST))):
        for note in notes:
            start = note.bar + 1 + note.position / grid.positions
            axes.broken_barh([(start, note.length / grid.positions)], (note.pitch - 0.5, 1), color=colours[note.track])
    for bar in range(1, grid.bars + 1, SECTION_BARS):
        axes.axvline(bar, color="black", linewidth=0.6, linestyle=":")
    axes.set_xlim(1, grid.bars + 1)
    axes.set_ylabel("MIDI pitch")


def _words(case: Case) -> str:
    if isinstance(case.piece, Stretch):
        return f"{case.piece.score}, bars {case.piece.first + 1} to {case.piece.first + case.last + 1}"
    section = case.piece.section_of(case.last)
    source = "" if section.source is None else f" of section {section.source + 1}"
    moved = f", {section.semitones:+d} semitones" if section.semitones else ""
    return f"section {case.last // SECTION_BARS + 1} is {section.kind}{source}{moved}"
