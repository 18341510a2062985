"""A review's folder: what was proposed (``proposals.json``), of which recordings, and what reviewers decided."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError, first_line
from mech_music.structure.pieces.labels import Label, State
from mech_music.structure.pieces.manifest import Recording, open_manifest
from mech_music.structure.proposals.proposals import Proposal, ProposalSettings, Role
from mech_music.structure.review.decisions import read_decisions, reviewers

PROPOSALS = "proposals.json"
_VERSION = 1


@dataclass(frozen=True)
class Review:
    """``queue``: by id, in the order in which pairs are decided: the most uncertain first."""

    folder: Path
    manifest: Path
    settings: ProposalSettings
    recordings: dict[str, Recording]
    queue: dict[str, Proposal]

    def recording(self, proposal: Proposal) -> Recording:
        """Whose places they are."""
        return self.recordings[proposal.recording]

    def labels(self) -> list[Label]:
        """Every pair with its state: what all its reviewers say, ambiguous where they differ."""
        said = [read_decisions(self.folder, name) for name in reviewers(self.folder)]
        found = []
        for name, proposal in self.queue.items():
            states = {State(each[name].value) for each in said if name in each}
            state = State.unverified if not states else states.pop() if len(states) == 1 else State.ambiguous
            n = sum(name in each for each in said)
            of, places = self.recording(proposal), (*proposal.first, *proposal.second)
            found.append(Label(of.name, of.sha256, *places, proposal.semitones, state, n))
        return found


def write_review(
    folder: Path, manifest: Path, recordings: Sequence[Recording], proposals: Sequence[Proposal], how: ProposalSettings
) -> Path:
    """The folder's proposals. UserError where there are some already, on which people may have decided."""
    path = folder / PROPOSALS
    if path.exists():
        raise UserError(f"'{path}' is there already: choose another folder, or remove it with its decisions")
    if not proposals:
        raise UserError("nothing is proposed: no pair is unlikely enough (a greater level=…, or longer recordings)")
    content = {
        "version": _VERSION,
        "manifest": str(manifest.resolve()),
        "settings": asdict(how),
        "recordings": {one.name: one.sha256 for one in recordings},
        "proposals": [asdict(one) for one in proposals],
    }
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def open_review(folder: Path) -> Review:
    """A folder that `write_review` filled. UserError for one that has no proposals, whose manifest is not there any
    more, or whose recordings have other content by now."""
    path = folder / PROPOSALS
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        settings = ProposalSettings(**content["settings"])
        proposals = [_proposal(one) for one in content["proposals"]]
        manifest, known = Path(content["manifest"]), dict(content["recordings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"no proposals in '{folder}' ({first_line(error)}): make some with mech-music review propose <manifest> "
            "to=<folder>"
        ) from None
    recordings = {one.name: one for one in open_manifest(manifest)}
    for name, sha256 in known.items():
        if name not in recordings or recordings[name].sha256 != sha256:
            raise UserError(
                f"'{path}' is of other recordings: '{name}' is not what it was in '{manifest}'; propose anew"
            )
    ordered = sorted(proposals, key=lambda one: (abs(math.log(one.p / settings.level)), one.id))
    return Review(folder, manifest, settings, recordings, {one.id: one for one in ordered})


def _proposal(written: dict[str, Any]) -> Proposal:
    places = {name: (float(written[name][0]), float(written[name][1])) for name in ("first", "second")}
    return Proposal(**{**written, **places, "role": Role(written["role"])})
