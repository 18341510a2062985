"""Continuation: all bars of a held-out piece but the last are given; the last one is generated and compared.

The measures are those of a study of attention with musical relations (docs/symbolic.md). Of planted pieces it is known
whether the last section is new, a decoy, or a return, so the table says what the model can copy; a model of a corpus
continues its held-out pieces, as a person labelled them, if one did. Controls:
*swapped*, the earlier sections are another piece's, so there is nothing to return to; *other*, the last bar of another
piece of the same words in place of what is generated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pandas as pd
import torch

from mech_music.base.atomic import replacing
from mech_music.edits.row import Row
from mech_music.models.symbolic.pieces import Kind
from mech_music.results.audio import Choice
from mech_music.tasks.continuation.columns import CONTINUATION
from mech_music.tasks.continuation.measures import measure, ratio_interval
from mech_music.tasks.continuation.pieces import Case, bar_of, rows_of
from mech_music.tasks.continuation.settings import ContinuationSettings as Settings

if TYPE_CHECKING:
    from mech_music.engine.engine import Answers
    from mech_music.models.symbolic.tokens import Tokens
    from mech_music.tasks.protocol import Figure


RETURNS = (Kind.exact, Kind.transposed, "return")
"""Kinds of last sections that come back."""


class Continuation:
    """Every held-out piece of the config, with its controls."""

    name: ClassVar[str] = CONTINUATION.task
    settings: ClassVar[type[Any]] = Settings
    schema: ClassVar = CONTINUATION

    def listeners(self, run: Settings) -> tuple[str, ...]:
        """The loss is read along given bars."""
        return ("bars",)

    def plan(self, run: Settings) -> list[Row]:
        """What goes on, and what is read, for each piece."""
        return [row for _, rows in _planned(run) for row in rows.values()]

    def score(self, run: Settings, answers: Answers) -> pd.DataFrame:
        """One line for each piece and role."""
        lines = [
            _described(run, role, case, rows, answers) | _measured(run.tokens, role, case, rows, answers)
            for case, rows in _planned(run)
            for role in CONTINUATION.roles
        ]
        return pd.DataFrame(lines, columns=pd.Index(CONTINUATION.names))

    def choose_clips(self, run: Settings, table: pd.DataFrame) -> list[Choice]:
        """The first pieces of each kind, as they are and as they go on: ``audio.strongest`` of them."""
        shown = table[(table["role"] == "own") & ~table["failed"] & (table["index"] < run.audio.strongest)]
        return [
            Choice(
                name=f"{line['kind']}_piece-{line['index']:03d}",
                caption=f"last section {line['kind']}, F1 of the last bar's notes {line['f1n']:.2f}: {line['prompt']}",
                versions={"true": line["true_row"], "continued": line["row"]},
                facts={name: line[name] for name in ("kind", "index", "f1n", "loss", "prompt")},
            )
            for line in cast(pd.DataFrame, shown).to_dict("records")
        ]

    def export(self, run: Settings, answers: Answers, table: pd.DataFrame, weights: str, folder: Path) -> None:
        """``returns.json``: F1n of returns over that of new bars. ``cost.json``: parameters, ms a note, and the corpus.
        ``figures/piano-rolls…``: a piece of each kind."""
        from mech_music.tasks.continuation.cost import cost_of
        from mech_music.tasks.continuation.rolls import piano_rolls

        planned, tokens = _planned(run), run.tokens
        found = [
            (case.kind, _measured(tokens, "own", case, rows, answers).get("f1n", np.nan)) for case, rows in planned
        ]
        returns, new = (
            np.array([f1n for own, f1n in found if own in kinds], float) for kinds in (RETURNS, (Kind.new,))
        )
        ratio = ratio_interval(returns, new, run.statistics.resamples, run.statistics.level, run.statistics.seed)
        with replacing(folder / "returns.json") as path:
            told = {name: value if np.isfinite(value) else None for name, value in ratio.items()}
            path.write_text(json.dumps(told, indent=1) + "\n")
        with replacing(folder / "cost.json") as path:
            path.write_text(json.dumps(cost_of(run), indent=1) + "\n")
        first = [(case, answers.tokens(rows["own"])) for case, rows in planned if case.index == 0]
        piano_rolls([(case, tokens.decode(torch.from_numpy(own).long())) for case, own in first], tokens.grid, folder)

    @staticmethod
    def figures() -> Sequence[Figure]:
        """Every measure by kind."""
        from mech_music.tasks.continuation.figures import by_kind

        return (by_kind,)


def _planned(run: Settings) -> list[tuple[Case, dict[str, Row]]]:
    tokens = run.tokens
    n_frames = run.n_frames(tokens)
    return [(case, rows_of(case, tokens, n_frames, run.seed)) for case in run.cases()]


def _measured(tokens: Tokens, role: str, case: Case, rows: Mapping[str, Row], answers: Answers) -> dict[str, Any]:
    """The metrics of one line; NaN where the clip could not be made."""
    loss = float(answers.reading(rows[f"true-{role}"], "bars")["nats"][case.last])
    found = bar_of(case.other.notes, case.last)
    if role in rows:
        if answers.failed(rows[role]):
            return {"failed": True}
        found = bar_of(tokens.decode(torch.from_numpy(answers.tokens(rows[role])).long()), case.last)
    return measure(found, case.true, tokens.grid.positions) | {"loss": loss, "failed": False}


def _described(run: Settings, role: str, case: Case, rows: Mapping[str, Row], answers: Answers) -> dict[str, object]:
    return {
        "task": CONTINUATION.task,
        "model": run.model.name,
        "role": role,
        "kind": str(case.kind),
        "attention": run.attention,
        "tokens": run.tokens.name,
        "form": run.form,
        "duration": float(run.duration),
        "seed": run.seed,
        "prompts": run.prompts,
        "prompt_set": run.study.name,
        "index": case.index,
        "prompt": case.prompt,
        "row": answers.key(rows[role]) if role in rows else "",
        "true_row": answers.key(rows[f"true-{role}"]),
    }
