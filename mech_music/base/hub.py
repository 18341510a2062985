"""Files of the Hugging Face hub: in a cache, or (if they are not in one) fetched.

What a cache holds is used as it is, without asking the network: a run on a machine without one and a run beside it
read the same files. The caches are those of every other program: ``AUDIOCRAFT_CACHE_DIR`` if it is set, then
``HF_HUB_CACHE`` (``HF_HOME/hub``).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mech_music.base.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """Files of a repository: of each group at least one. ``repos``: the names it has; the first is fetched.

    ``also``: further files that are fetched if they are there; ``inside``: the folder that all of them lie in;
    ``setting``: the key that ``revision`` is given by; ``advice``: what else the user may do.
    """

    what: str
    repos: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    revision: str | None = None
    advice: str = ""
    also: tuple[str, ...] = ()
    inside: str = ""
    setting: str = "model.revision"

    def missing(self, commit: Path) -> list[str]:
        """The first name of each group of which a snapshot has nothing."""
        return [self._in(name) for name in lacking(commit / self.inside, self.groups)]

    @property
    def patterns(self) -> list[str]:
        """What is fetched."""
        return [self._in(name) for name in dict.fromkeys((*(group[0] for group in self.groups), *self.also))]

    @property
    def command(self) -> str:
        """What fetches it by hand."""
        revision = f" --revision {self.revision}" if self.revision else ""
        files = f"--include '{self.inside}/*'" if self.inside else " ".join(group[0] for group in self.groups)
        return f"hf download {self.repos[0]} {files}{revision}"

    def _in(self, name: str) -> str:
        return f"{self.inside}/{name}" if self.inside else name


def lacking(folder: Path, groups: Sequence[Sequence[str]]) -> list[str]:
    """The first name of each group of which a folder has nothing."""
    return [group[0] for group in groups if not any((folder / name).is_file() for name in group)]


def snapshot(wanted: Wanted) -> Path:
    """The folder in a cache that holds the files, fetched if need be: the snapshot, whose name is the commit, or in it.

    UserError names what is missing and the fix.
    """
    from huggingface_hub import constants

    caches = [cache for cache in (os.environ.get("AUDIOCRAFT_CACHE_DIR"), constants.HF_HUB_CACHE) if cache]
    found = [folder for repo in wanted.repos for cache in caches if (folder := _cached(wanted, repo, Path(cache)))]
    if whole := [folder for folder in found if not wanted.missing(folder)]:
        return whole[0] / wanted.inside
    if not constants.is_offline_mode():
        return _fetch(wanted, caches[0])
    lack = f"has no {' and no '.join(wanted.missing(found[0]))}" if found else _absent(wanted, caches)
    raise UserError(
        f"{wanted.what}: the cache {lack}, and the hub is not asked (HF_HUB_OFFLINE): fill the cache where there is "
        f"a network (`{wanted.command}`){wanted.advice}"
    )


def _cached(wanted: Wanted, repo: str, cache: Path) -> Path | None:
    """The snapshot of a repository in a cache; its name is the commit."""
    folder = _repo_folder(repo, cache)
    revision = wanted.revision or "main"
    try:
        commit = (folder / "refs" / revision).read_text().strip()
    except OSError:
        commit = revision
    return place if (place := folder / "snapshots" / commit).is_dir() else None


def _repo_folder(repo: str, cache: Path) -> Path:
    return cache.expanduser() / f"models--{repo.replace('/', '--')}"


def _absent(wanted: Wanted, caches: Sequence[str]) -> str:
    kept = sorted(
        folder.name
        for repo in wanted.repos
        for cache in caches
        for folder in _repo_folder(repo, Path(cache)).glob("snapshots/*")
    )
    if not kept:
        return f"({' and '.join(caches)}) does not hold it"
    return f"does not hold revision '{wanted.revision or 'main'}', only {', '.join(kept)}"


def _fetch(wanted: Wanted, cache: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RevisionNotFoundError

    log.warning("fetching %s into %s", wanted.what, cache)
    repo = wanted.repos[0]
    try:
        folder = Path(
            snapshot_download(repo, revision=wanted.revision, allow_patterns=wanted.patterns, cache_dir=cache)
        )
    except RevisionNotFoundError:
        raise UserError(
            f"{wanted.setting}={wanted.revision} is no commit, tag or branch of '{repo}': "
            "give one that is, or leave it out for main"
        ) from None
    except Exception as error:  # the hub client raises many kinds: no network, no such id, not allowed
        raise UserError(
            f"{wanted.what} cannot be fetched ({type(error).__name__}): fill the cache where there is a network "
            f"(`{wanted.command}`){wanted.advice}"
        ) from None
    if missing := wanted.missing(folder):
        raise UserError(f"repository '{repo}' has no {' and no '.join(missing)} at {folder.name}: is the id right?")
    return folder / wanted.inside
