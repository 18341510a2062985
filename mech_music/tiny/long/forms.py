"""What each section of a piece is to an earlier one, before any note is written."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from mech_music.structure.pieces.annotated import Kind

TOLD, HINTED, BLIND = "told", "hinted", "blind"
REGIMES = (TOLD, HINTED, BLIND)
"""The prompt names the form; an open cadence precedes returns and no other section; a coin decides everything."""
FREE, CUED = "free", "cued"
"""What prompts say in the place of a form: in blind pieces, and in hinted ones."""

TOLD_FORMS = (
    "AABAAB", "AABACA", "AABBAA", "AABBAB", "AABCAB", "AABCBA", "ABAABA", "ABABAB", "ABABBA", "ABABCB", "ABACAA",
    "ABACAB", "ABACBA", "ABBAAB", "ABBABA", "ABBACA", "ABBCAB", "ABCAAB", "ABCABC", "ABCACB", "ABCBAA", "ABCBAB",
)  # fmt: skip
"""Sections of one letter are the same melody. Pieces of fewer sections play the first letters."""
MOST = 6
"""Sections that a prompt announces."""

_CHANCES = {Kind.new: 0.2, Kind.exact: 0.38, Kind.transposed: 0.14, Kind.reorchestrated: 0.14, Kind.decoy: 0.14}
_RETURNS = {kind: chance for kind, chance in _CHANCES.items() if kind.returns}


@dataclass(frozen=True)
class Plan:
    """A section's kind, its letter, and the section it is made from: the first of that letter (None: a new one).

    ``open``: whether it ends on the dominant, not on the tonic.
    """

    kind: Kind
    letter: str
    root: int | None
    open: bool


def told(form: str, random: Random) -> list[Plan]:
    """The sections of a form that the prompt names; a coin decides how a letter returns, and the cadences."""
    plans: list[Plan] = []
    for at, letter in enumerate(form):
        if (first := form.index(letter)) < at:
            kind, root = _pick(_RETURNS, random), first
        else:
            kind = Kind.decoy if at and random.random() < 0.3 else Kind.new
            root = _first_of(random.choice(form[:at]), plans) if kind is Kind.decoy else None
        plans.append(Plan(kind, letter, root, random.random() < 0.5))
    return plans


def untold(n: int, hinted: bool, random: Random) -> list[Plan]:
    """``n`` sections that a coin chooses. Hinted: cadences are open before returns and there only, else a coin's."""
    plans: list[Plan] = []
    for at in range(n):
        kind, root, letter = Kind.new, None, chr(ord("A") + len({plan.letter for plan in plans}))
        if at and (kind := _pick(_CHANCES, random)) is not Kind.new:
            root = _first_of(random.choice(sorted({plan.letter for plan in plans})), plans)
            letter = plans[root].letter if kind.returns else letter
        plans.append(Plan(kind, letter, root, random.random() < 0.5))
    if not hinted:
        return plans
    followers = [plan.kind.returns for plan in plans[1:]] + [False]
    return [Plan(p.kind, p.letter, p.root, opens) for p, opens in zip(plans, followers, strict=True)]


def _pick(chances: dict[Kind, float], random: Random) -> Kind:
    return random.choices(list(chances), list(chances.values()))[0]


def _first_of(letter: str, plans: list[Plan]) -> int:
    return next(number for number, plan in enumerate(plans) if plan.letter == letter)
