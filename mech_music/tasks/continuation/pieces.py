"""The pieces that are continued, and what is given of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from mech_music.edits.row import Prefix, Row
from mech_music.models.symbolic.attributes import ATTRIBUTES
from mech_music.models.symbolic.corpora.fitting import Stretch
from mech_music.models.symbolic.corpora.registry import Corpus
from mech_music.models.symbolic.notes import Note
from mech_music.models.symbolic.pieces import SECTION_BARS, Kind, Piece, compose
from mech_music.models.symbolic.tokens import Tokens
from mech_music.models.symbolic.training import HELD_OUT
from mech_music.prompts.prompt_set import PromptSet

CORPUS = 2024  # the seed of the corpus that the bundled model is trained on
_PARTNERS = 500_000_000  # pieces from here on are others' partners


@dataclass(frozen=True)
class Case:
    """A held-out piece and another of the same words: each as its bars but the last, and the last.

    ``kind``: what the last section is; of a corpus *return* or *new* where a person said so, else *unlabelled*.
    """

    index: int
    kind: str
    prompt: str
    piece: Piece | Stretch
    other: Piece | Stretch

    @property
    def last(self) -> int:
        """The number of the last bar."""
        return max(note.bar for note in self.piece.notes)

    @property
    def true(self) -> list[Note]:
        """The notes of the last bar."""
        return bar_of(self.piece.notes, self.last)

    @property
    def own(self) -> list[Note]:
        """What is given: all before the last bar."""
        return [note for note in self.piece.notes if note.bar < self.last]

    @property
    def swapped(self) -> list[Note]:
        """The same with the earlier sections of the other piece."""
        section = self.last - self.last % SECTION_BARS
        early = [note for note in self.other.notes if note.bar < section]
        return early + [note for note in self.own if note.bar >= section]


def bar_of(notes: tuple[Note, ...] | list[Note], bar: int) -> list[Note]:
    """The notes that begin in a bar."""
    return [note for note in notes if note.bar == bar]


@cache
def cases(study: PromptSet, form: str, n: int) -> tuple[Case, ...]:
    """The first ``n`` held-out pieces whose last section is of each kind, kind by kind.

    ``form``: free, cued, or told (its letters).
    """
    found: dict[Kind, list[Case]] = {kind: [] for kind in Kind}
    number = HELD_OUT
    while any(len(own) < n for own in found.values()):
        number += 1
        asked = {} if form == "told" else {"form": form}
        piece = compose(CORPUS, number, asked)
        kind = piece.section_of(len(piece.sections) * SECTION_BARS - 1).kind
        if piece.regime != form or len(found[kind]) >= n:
            continue
        words = {name: piece.attributes[name] for name in ATTRIBUTES}
        other = compose(CORPUS, number + _PARTNERS, words)
        found[kind].append(Case(len(found[kind]), kind, study.fill(words).text, piece, other))
    return tuple(case for own in found.values() for case in own)


@cache
def corpus_cases(corpus: Corpus, n: int) -> tuple[Case, ...]:
    """A stretch of each of ``n`` held-out pieces, drawn by the split's seed; all of them where there are fewer.

    The other piece is the next that has the same metre and no fewer bars; a piece without one is left out.
    """
    first = {one.score: one for one in reversed(corpus.held_out)}
    order = [first[name] for name in sorted(first)]
    Random(f"{corpus.manifest['digest']}").shuffle(order)
    counts: dict[str, int] = {}
    found = list[Case]()
    for at, one in enumerate(order):
        other = next((o for o in order[at + 1 :] + order[:at] if _alike(one, o)), None)
        if other is None or len(found) == n:
            continue
        kind = _kind(one.letters)
        counts[kind] = counts.get(kind, 0) + 1
        metre = one.attributes.get("metre")
        prompt = f"A piece in {metre} time." if metre else "A piece."
        found.append(Case(counts[kind] - 1, kind, prompt, one, other))
    return tuple(found)


def _alike(one: Stretch, other: Stretch) -> bool:
    return one.attributes == other.attributes and other.n_bars >= one.n_bars


def _kind(letters: Sequence[str]) -> str:
    """Whether the phrase of the last bar has the letter of an earlier one, to the person who labelled it."""
    if not any(letters):
        return "unlabelled"
    own = len(letters)
    while own and letters[own - 1] == letters[-1]:
        own -= 1
    return "return" if letters[-1] and letters[-1] in letters[:own] else "new"


def rows_of(case: Case, tokens: Tokens, n_frames: int, seed: int) -> dict[str, Row]:
    """What is generated: by role the row that goes on, and, with ``true-`` before it, the row that is all given."""

    def row(notes: list[Note], whole: bool = False) -> Row:
        frames = tokens.tensor(notes, n_frames)[:, : n_frames - 1 if whole else len(tokens.encode(notes))]
        return Row(case.prompt, seed, prefix=Prefix.of(frames.tolist()))

    last = [note for note in case.other.notes if note.bar == case.last]
    return {
        "own": row(case.own),
        "swapped": row(case.swapped),
        "true-own": row(case.own + case.true, whole=True),
        "true-swapped": row(case.swapped + case.true, whole=True),
        "true-other": row(case.own + last, whole=True),
    }
