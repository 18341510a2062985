"""How near one bar is to another: the measures of continuation, as pure functions on notes.

Those of the study of musical attention that docs/symbolic.md is about; each is 1 for the same bar. Notes are compared
within the bar: in which bar of the piece they are does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mech_music.metrics.metric import Metric
from mech_music.models.symbolic.notes import Note

F1N = Metric("f1n", "", "F1 of the notes: position, track and pitch right", "F1n, notes")
F1P = Metric("f1p", "", "F1 of the cells of the piano roll: position and pitch sounding", "F1p, piano roll")
GS = Metric("gs", "", "cosine of how many notes begin at each position", "GS, groove")
CS = Metric("cs", "", "mean over both halves of the grid's bar: cosine of which pitch classes sound", "CS, chroma")
PRS = Metric("prs", "", "1 − the difference of the pitch ranges ÷ 127", "PRS, pitch range")
LOSS = Metric("loss", "nats a note", "−log p of the bar's notes, given the bars before it", "loss")


def measure(found: Sequence[Note], true: Sequence[Note], positions: int) -> dict[str, float]:
    """All measures of a bar of so many positions but the loss, by name."""
    notes = [{(note.position, note.track, note.pitch) for note in bar} for bar in (found, true)]
    rolls = [_roll(bar, positions) for bar in (found, true)]
    onsets = [np.bincount([note.position for note in bar], minlength=positions) for bar in (found, true)]
    half = positions // 2
    chroma = [np.stack([_chroma(roll[part]) for part in (slice(half), slice(half, None))]) for roll in rolls]
    ranges = [np.ptp([note.pitch for note in bar]) if bar else 0 for bar in (found, true)]
    return {
        "f1n": _f1(*notes),
        "f1p": _f1(*({*zip(*np.nonzero(roll), strict=True)} for roll in rolls)),
        "gs": _cosine(*onsets),
        "cs": float(np.mean([_cosine(a, b) for a, b in zip(*chroma, strict=True)])),
        "prs": 1.0 - float(abs(ranges[0] - ranges[1])) / 127.0,
    }


def ratio_interval(
    over: Float[np.ndarray, " piece"], under: Float[np.ndarray, " other"], resamples: int, level: float, seed: int
) -> dict[str, float]:
    """The ratio of two means over different pieces, with the percentile interval of a bootstrap over both.

    NaN pieces are left out; so are draws in which both means are 0. Ends are infinite where the lower mean is 0, and
    everything is NaN where there are no pieces.
    """
    random, (a, b) = np.random.default_rng(seed), (values[~np.isnan(values)] for values in (over, under))
    if not (len(a) and len(b)):
        nothing = dict.fromkeys(("returns", "new", "ratio", "low", "high"), float("nan"))
        return nothing | {"n": len(a), "n_new": len(b)}
    drawn = [values[random.integers(len(values), size=(resamples, len(values)))].mean(1) for values in (a, b)]
    tail = 50 * (1 - level)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = drawn[0] / drawn[1]
        known = ratios[~np.isnan(ratios)]
        low, high = np.percentile(known, [tail, 100 - tail]) if len(known) else (np.nan, np.nan)
        ratio = np.float64(a.mean()) / b.mean()
    means = {"returns": float(a.mean()), "new": float(b.mean())}
    return means | {"ratio": float(ratio), "low": float(low), "high": float(high), "n": len(a), "n_new": len(b)}


def _roll(bar: Sequence[Note], positions: int) -> np.ndarray:
    """``[position, pitch]``, 1 where it sounds; a note that outlasts the bar is cut."""
    roll = np.zeros((positions, 128))
    for note in bar:
        roll[note.position : note.position + note.length, note.pitch] = 1
    return roll


def _chroma(roll: Float[np.ndarray, "position pitch"]) -> Float[np.ndarray, " class"]:
    return (np.pad(roll.max(0, initial=0), (0, 4)).reshape(-1, 12).max(0) > 0).astype(float)


def _f1(found: set, true: set) -> float:
    """1 where both are empty."""
    return 2 * len(found & true) / (len(found) + len(true)) if found or true else 1.0


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    """1 where both are zero, 0 where one is."""
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size else float(not a.any() and not b.any())
