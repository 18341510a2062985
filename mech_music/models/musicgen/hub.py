"""Where the files of a model are: a local folder, the hub's cache, or (if they are in neither) the hub.

What the cache holds is used as it is, without asking the network: a run on a machine without one and a run
beside it read the same files. The caches are those of every other program: ``AUDIOCRAFT_CACHE_DIR`` if it is
set, then ``HF_HUB_CACHE`` (``HF_HOME/hub``).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mech_music.base.errors import UserError
from mech_music.base.paths import user_path
from mech_music.models.musicgen.bundled import bundle_dir, planted_folder, verify_bundle

log = logging.getLogger(__name__)
FILES = ("state_dict.bin", "compression_state_dict.bin")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_CONFIG = ("config.json",)
_TOKENIZERS = ("spiece.model", "tokenizer.json")
_TEXT_ENCODER = (_WEIGHTS, _CONFIG, _TOKENIZERS)
_BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")  # a tokenizer reads them as well


@dataclass(frozen=True)
class Source:
    """A folder with the two checkpoint files. ``name`` is for people: the folder, or the repository and its commit."""

    folder: Path
    name: str


@dataclass(frozen=True)
class _Wanted:
    """Files of a repository: of each group at least one. ``repos``: the names it has; the first is fetched."""

    what: str
    repos: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    revision: str | None = None
    advice: str = ""

    def missing(self, folder: Path) -> list[str]:
        return _missing(folder, self.groups)

    @property
    def command(self) -> str:
        revision = f" --revision {self.revision}" if self.revision else ""
        return f"hf download {self.repos[0]} {' '.join(group[0] for group in self.groups)}{revision}"


def find_checkpoint(path: str | None, hub_id: str | None, revision: str | None = None) -> Source:
    """The local folder that holds the two checkpoint files, fetched into the hub's cache if need be.

    No ``path`` and no ``hub_id`` means the bundled model. ``revision``: a commit, tag or branch of ``hub_id``;
    None takes ``main``. UserError names what is missing and the fix.
    """
    if revision is not None and (path is not None or hub_id is None):
        raise UserError(f"model.revision={revision} belongs to a repository of the hub: a local model has none")
    if path is not None:
        return Source(_local(path), path)
    if hub_id is None:
        return Source(bundle_dir(), "bundled")
    advice = ", or set model.path to a local folder with these files"
    folder = _snapshot(_Wanted(f"model '{hub_id}'", (hub_id,), tuple((name,) for name in FILES), revision, advice))
    return Source(folder, f"{hub_id} @ {folder.name}")


def _local(path: str) -> Path:
    folder = user_path(path)
    if folder.parent == planted_folder() and folder.is_dir():
        verify_bundle(folder)
    for name in FILES:
        if not (folder / name).is_file():
            raise UserError(f"model.path '{path}' has no {name}: point it at a folder with {' and '.join(FILES)}")
    return folder


def text_encoder_of(config: DictConfig, folder: Path) -> Path:
    """The folder of the T5 that a language model's ``xp.cfg`` names, or of the one that lies beside its weights.

    UserError if it is not there, or not all of it.
    """
    place = folder / "t5"
    if not place.is_dir():
        t5 = config.conditioners.description.t5
        if OmegaConf.is_interpolation(t5, "name"):  # the bundled model's name for what is always beside it
            raise UserError(f"'{folder}' has no t5/, the text encoder of its model: copy the whole folder")
        if not Path(t5.name).is_dir():
            return find_text_encoder(t5.name)
        place = Path(t5.name)
    if lacking := _missing(place, _TEXT_ENCODER):
        raise UserError(f"text encoder in '{place}' has no {lacking[0]}: copy the whole folder, or fetch it again")
    return place


def find_text_encoder(name: str) -> Path:
    """The folder of a T5 that a checkpoint names (``t5-base``): weights, config and tokenizer.

    The hub calls the T5s ``google-t5/…`` today and answers to the old names as well, so a cache may have either.
    """
    repos = (name,) if "/" in name else (f"google-t5/{name}", name)
    return _snapshot(_Wanted(f"text encoder '{name}'", repos, _TEXT_ENCODER))


def find_codec(name: str) -> Path:
    """The folder of the codec that a checkpoint names (``facebook/encodec_32khz``)."""
    return _snapshot(_Wanted(f"codec '{name}'", (name,), (_WEIGHTS, _CONFIG)))


def deciding(folder: Path) -> list[Path]:
    """The files in the folder of a text encoder or codec that transformers reads, whatever lies beside them."""
    weights = [name for name in _WEIGHTS if (folder / name).is_file()][:1]
    return [folder / name for name in (*weights, *_CONFIG, *_TOKENIZERS, *_BESIDE) if (folder / name).is_file()]


def _missing(folder: Path, groups: Sequence[Sequence[str]]) -> list[str]:
    return [group[0] for group in groups if not any((folder / name).is_file() for name in group)]


def _snapshot(wanted: _Wanted) -> Path:
    from huggingface_hub import constants

    caches = [cache for cache in (os.environ.get("AUDIOCRAFT_CACHE_DIR"), constants.HF_HUB_CACHE) if cache]
    found = [folder for repo in wanted.repos for cache in caches if (folder := _cached(wanted, repo, Path(cache)))]
    if whole := [folder for folder in found if not wanted.missing(folder)]:
        return whole[0]
    if not constants.is_offline_mode():
        return _fetch(wanted, caches[0])
    lack = f"has no {' and no '.join(wanted.missing(found[0]))}" if found else _absent(wanted, caches)
    raise UserError(
        f"{wanted.what}: the cache {lack}, and the hub is not asked (HF_HUB_OFFLINE): fill the cache where there is "
        f"a network (`{wanted.command}`){wanted.advice}"
    )


def _cached(wanted: _Wanted, repo: str, cache: Path) -> Path | None:
    """The snapshot of a repository in a cache; its name is the commit."""
    folder = _repo_folder(repo, cache)
    revision = wanted.revision or "main"
    try:
        commit = (folder / "refs" / revision).read_text().strip()
    except OSError:
        commit = revision
    return snapshot if (snapshot := folder / "snapshots" / commit).is_dir() else None


def _repo_folder(repo: str, cache: Path) -> Path:
    return user_path(cache) / f"models--{repo.replace('/', '--')}"


def _absent(wanted: _Wanted, caches: Sequence[str]) -> str:
    kept = sorted(
        folder.name
        for repo in wanted.repos
        for cache in caches
        for folder in _repo_folder(repo, Path(cache)).glob("snapshots/*")
    )
    if not kept:
        return f"({' and '.join(caches)}) does not hold it"
    return f"does not hold revision '{wanted.revision or 'main'}', only {', '.join(kept)}"


def _fetch(wanted: _Wanted, cache: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RevisionNotFoundError

    log.warning("fetching %s into %s", wanted.what, cache)
    patterns = [group[0] for group in wanted.groups] + list(_TOKENIZERS)
    repo = wanted.repos[0]
    try:
        folder = Path(snapshot_download(repo, revision=wanted.revision, allow_patterns=patterns, cache_dir=cache))
    except RevisionNotFoundError:
        raise UserError(
            f"model.revision={wanted.revision} is no commit, tag or branch of '{repo}': "
            "give one that is, or leave it out for main"
        ) from None
    except Exception as error:  # the hub client raises many kinds: no network, no such id, not allowed
        raise UserError(
            f"{wanted.what} cannot be fetched ({type(error).__name__}): fill the cache where there is a network "
            f"(`{wanted.command}`){wanted.advice}"
        ) from None
    if missing := wanted.missing(folder):
        raise UserError(f"repository '{repo}' has no {' and no '.join(missing)} at {folder.name}: is the id right?")
    return folder
