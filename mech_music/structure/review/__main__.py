"""Labels of returns: ``mech-music review {propose, <folder>, agreement, labels, export, manifest, check}``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mech_music.base.errors import UserError, unknown
from mech_music.base.paths import user_path
from mech_music.cli.explain import run_verb
from mech_music.metrics.intervals import Interval
from mech_music.structure.proposals.proposals import ProposalSettings

_USAGE = """usage: mech-music review <what> [name=value ...]

Where music returns in recordings: proposed by what is heard, decided by who listens.

  manifest <folder> licence=… source=…   write manifest.csv for a folder of audio files
  propose <manifest> to=<folder>         returns above chance and texture, each with a matched negative
                                         (seconds=6 hop=1.5 step=0.12 level=0.01 nulls=500 most=12 seed=0)
  <folder> reviewer=<name>               the page to listen and to decide, on this machine alone (port=8765)
  agreement <folder>                     how far each two reviewers agree
  labels <folder>                        write labels.csv beside the manifest
  export <folder>                        review.html: all pairs in one file, to read only
  check                                  how well proposals tell returns from decoys, on planted pieces (pieces=24)
"""
_PORT = "8765"


def main(words: Sequence[str] | None = None) -> None:
    """Exits with 1 and one line for a mistake."""
    run_verb(words, _USAGE, _work, stopped="stopped; every decision is saved")


def _work(words: Sequence[str], console: Console) -> None:
    what = words[0] if words else ""
    verb: Callable[[Sequence[str], dict[str, str], Console], None] | None = _VERBS.get(what)
    rest = words[1:] if verb else words
    values = dict(word.split("=", 1) for word in rest if "=" in word)
    (verb or _serve)([word for word in rest if "=" not in word], values, console)


def _place(places: Sequence[str], what: str) -> Path:
    if len(places) != 1:
        raise UserError(f"expected one {what}, not {len(places)} (mech-music review --help)")
    return user_path(places[0])


def _known(values: dict[str, str], allowed: Sequence[str], needed: Sequence[str] = ()) -> None:
    if strangers := set(values) - set(allowed):
        raise UserError(unknown("word", min(strangers), allowed))
    if lacking := [name for name in needed if not values.get(name)]:
        raise UserError(f"{lacking[0]}=… is missing (mech-music review --help)")


def _number(values: dict[str, str], name: str, kind: type, default: str) -> Any:
    try:
        return kind(values.get(name, default))
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise UserError(f"{name}={values[name]}: expected {what}") from None


def _settings(values: dict[str, str]) -> ProposalSettings:
    own = {field.name: field.default for field in fields(ProposalSettings)}
    return ProposalSettings(**{name: _number(values, name, type(own[name]), str(own[name])) for name in own})


def _manifest(places: Sequence[str], values: dict[str, str], console: Console) -> None:
    from mech_music.structure.pieces.manifest import write_manifest

    _known(values, ("licence", "source"), ("licence", "source"))
    console.print(f"{write_manifest(_place(places, 'folder'), values['licence'], values['source'])} written")


def _propose(places: Sequence[str], values: dict[str, str], console: Console) -> None:
    from mech_music.saes.progress import progress
    from mech_music.structure.pieces.manifest import MANIFEST, open_manifest
    from mech_music.structure.proposals.descriptors import describe
    from mech_music.structure.proposals.proposals import Role, propose
    from mech_music.structure.review.folder import write_review

    _known(values, ("to", *(field.name for field in fields(ProposalSettings))), ("to",))
    place, settings = _place(places, "manifest"), _settings(values)
    settings.check()
    recordings = open_manifest(place)
    described = []
    with progress("recordings heard", len(recordings)) as show:
        for one in recordings:
            described.append(describe(*one.sound()))
            show(1)
    with progress("compared", len(recordings)) as show:
        found = propose([one.name for one in recordings], described, settings, lambda: show(1))
    manifest = place / MANIFEST if place.is_dir() else place
    path = write_review(user_path(values["to"]), manifest, recordings, found, settings)
    n = sum(one.role is Role.returning for one in found)
    console.print(f"{path}: {n} pairs proposed in {len(recordings)} recordings, and {len(found) - n} matched negatives")


def _serve(places: Sequence[str], values: dict[str, str], console: Console) -> None:
    from mech_music.structure.review.folder import open_review
    from mech_music.structure.review.server import ReviewServer

    folder = _place(places, "folder of a review")
    _known(values, ("reviewer", "port"), ("reviewer",))
    review = open_review(folder)
    with ReviewServer(review, values["reviewer"], _number(values, "port", int, _PORT)) as server:
        left = len(review.queue) - len(server.decided())
        console.print(f"{server.address} shows {len(review.queue)} pairs, {left} to decide. Ctrl+C ends it.")
        server.serve_forever(poll_interval=0.2)


def _agreement(places: Sequence[str], values: dict[str, str], console: Console) -> None:
    from mech_music.structure.review.agreement import agreement
    from mech_music.structure.review.decisions import read_decisions, reviewers
    from mech_music.structure.review.folder import open_review

    _known(values, ())
    review = open_review(_place(places, "folder of a review"))
    names = reviewers(review.folder)
    if len(names) < 2:
        raise UserError(f"'{review.folder}' has decisions of {len(names)} reviewers: two are needed")
    table = Table("reviewers", "pairs", "same", "Cohen's kappa", "Krippendorff's alpha")
    recordings = {name: pair.recording for name, pair in review.queue.items()}
    for one, other in combinations(names, 2):
        found = agreement(read_decisions(review.folder, one), read_decisions(review.folder, other), recordings)
        table.add_row(f"{one}, {other}", str(found.n), *map(_said, (found.same, found.kappa, found.alpha)))
    console.print(table)
    console.print("Percentile intervals over recordings, 95 %.")


def _labels(places: Sequence[str], values: dict[str, str], console: Console) -> None:
    from collections import Counter

    from mech_music.structure.pieces.labels import write_labels
    from mech_music.structure.review.folder import open_review

    _known(values, ())
    review = open_review(_place(places, "folder of a review"))
    labels = review.labels()
    path = write_labels(review.manifest.parent, labels)
    counts = Counter(label.state.value for label in labels)
    console.print(f"{path}: {', '.join(f'{n} {state}' for state, n in counts.most_common())}")


def _export(places: Sequence[str], values: dict[str, str], console: Console) -> None:
    from mech_music.structure.review.folder import open_review
    from mech_music.structure.review.page import write_export

    _known(values, ())
    review = open_review(_place(places, "folder of a review"))
    path = review.folder / "review.html"
    console.print(f"{path}: {write_export(review, path)} pairs. Open it in a browser.")


def _check(places: Sequence[str], values: dict[str, str], console: Console) -> None:
    from mech_music.structure.proposals.planted import planted_piece
    from mech_music.structure.proposals.separation import separations

    _known(values, ("pieces", "seed"))
    if places:
        raise UserError(f"check takes no folder, but '{places[0]}' was given")
    n, seed = _number(values, "pieces", int, "24"), _number(values, "seed", int, "1")
    if n < 2:
        raise UserError(f"pieces={n}: expected 2 or more")
    table = Table("method", "returns", "against", "AUC")
    for found in separations([planted_piece(seed, index) for index in range(n)], ProposalSettings(seed=seed)):
        table.add_row(found.method, found.kind, found.against, _said(found.auc))
    console.print(table)
    console.print(f"{n} planted pieces; percentile intervals over pieces, 95 %.")


def _said(of: Interval) -> str:
    return f"{of.mean:.3f} [{of.low:.3f}, {of.high:.3f}]"


_VERBS = {
    "manifest": _manifest,
    "propose": _propose,
    "agreement": _agreement,
    "labels": _labels,
    "export": _export,
    "check": _check,
}

if __name__ == "__main__":
    main()
