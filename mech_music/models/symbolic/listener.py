"""What a piece is, judged from its notes: key and mode, metre, density, register. Nothing is trained or loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from jaxtyping import Float32

from mech_music.base.errors import UserError
from mech_music.models.symbolic.attributes import ATTRIBUTES, KEYS
from mech_music.models.symbolic.model import SymbolicGenerator
from mech_music.models.symbolic.notes import Grid, Note
from mech_music.models.symbolic.pieces import BASS, MELODY, SECTION_BARS

if TYPE_CHECKING:
    from mech_music.config.schema import RunConfig
    from mech_music.listeners.protocol import Clips

_VERSION = 1  # raise it when a change of this code changes a reading
_HEARD = ("mode", "key", "metre", "density", "register")
_WEIGHT = 10.0  # as many notes are counted as independent evidence, so that a clip's length does not decide the odds
_TONES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
_OUT = 0.1  # how likely a note outside the scale is, as a part of one within
_TONIC = 2.0  # nats for a key that all sections begin on
_SPARSE, _DENSE, _SPREAD = 3.0, 8.5, 2.0  # notes a bar
_LOW, _HIGH, _WIDTH = 52.0, 76.0, 6.0  # mean MIDI pitch of the melody
_SHORT = 6  # positions of a three-four bar


class Notes:
    """``logits [class]``: each attribute's values side by side, in the order of the classes.

    Key and mode: the log-likelihood of the pitch classes (by how long they sound) under each of 24 scales, and how many
    sections' bass begins on the tonic; a mode's logit is that in the best key, a key's that of its best mode. Metre:
    in how many bars something sounds behind the third beat. Density: notes a bar, register: the melody's mean pitch,
    each on a bell around its two values. Clips without notes give 0 to all. UserError for clips that are no notes.
    """

    in_background = True

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        known = [word for name in _HEARD for word in ATTRIBUTES[name]]
        if wrong := [word for word in self.classes if word not in known]:
            raise UserError(f"class '{wrong[0]}' of listener notes; allowed: {', '.join(known)}")
        self.id = f"notes {_VERSION} {self.classes}"

    @classmethod
    def from_run(cls, run: RunConfig, classes: Sequence[Any]) -> Self:
        """The same for every run."""
        return cls([str(word) for word in classes])

    def load(self) -> None:
        """There is nothing to load."""

    def read(self, clips: Clips) -> dict[str, Float32[np.ndarray, "clip class"]]:
        """The logits of each clip."""
        generator = clips.generator
        if not isinstance(generator, SymbolicGenerator):
            raise UserError(
                "listener notes: this model makes sound and no notes; use model=symbolic-tiny, or a prompt_set that "
                "the classifier hears"
            )
        found = [self.logits(notes, generator.decoder.grid) for notes in generator.notes(clips.tokens)]
        return {"logits": np.stack(found)}

    def logits(self, notes: Sequence[Note], grid: Grid) -> Float32[np.ndarray, " class"]:
        """The logits of one piece."""
        of = dict.fromkeys(self.classes, 0.0)
        if notes:
            of |= _scales(notes) | _metre(notes, grid) | _density(notes) | _register(notes)
        return np.array([of[name] for name in self.classes], dtype=np.float32)


def _scales(notes: Sequence[Note]) -> dict[str, float]:
    weights, begins = np.zeros(12), np.zeros(12)
    for note in notes:
        weights[note.pitch % 12] += note.length
        begins[note.pitch % 12] += note.track == BASS and note.position == 0 and note.bar % SECTION_BARS == 0
    scores = np.empty((2, 12))
    for at, tones in enumerate(_TONES.values()):
        chance = np.full(12, _OUT)
        chance[list(tones)] = 1.0
        likely = np.log(chance / chance.sum())
        scores[at] = [weights @ np.roll(likely, key) / weights.sum() for key in range(12)]
    scores += _TONIC * begins / max(1, begins.sum())
    modes = dict(zip(ATTRIBUTES["mode"], _WEIGHT * scores[:, scores.max(0).argmax()], strict=True))
    return modes | dict(zip(KEYS, _WEIGHT * scores.max(0), strict=True))


def _metre(notes: Sequence[Note], grid: Grid) -> dict[str, float]:
    """Each bar is evidence: whether any of its notes sounds behind the third beat (it may not in three-four)."""
    bars = {note.bar for note in notes}
    behind = {note.bar for note in notes if note.position + note.length > min(_SHORT, grid.positions - 1)}
    share = len(behind) / len(bars)
    return {"three-four": _WEIGHT * (0.5 - share), "four-four": _WEIGHT * (share - 0.5)}


def _density(notes: Sequence[Note]) -> dict[str, float]:
    each = len(notes) / len({note.bar for note in notes})
    return _bells({"sparse": _SPARSE, "dense": _DENSE}, each, _SPREAD)


def _register(notes: Sequence[Note]) -> dict[str, float]:
    melody = [note.pitch for note in notes if note.track == MELODY]
    return _bells({"low": _LOW, "high": _HIGH}, float(np.mean(melody)), _WIDTH) if melody else {}


def _bells(centres: dict[str, float], value: float, spread: float) -> dict[str, float]:
    return {name: -((value - centre) ** 2) / (2 * spread**2) for name, centre in centres.items()}
