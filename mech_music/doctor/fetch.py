"""Getting weights, whole: fetched with the hub's client, checked against what the hub says of them, then opened.

The client keeps whole files, but begins a file that was cut short anew in the next process. The checkpoints are
gigabytes, so the beginnings of large files are kept here, beside the client's own, and continued.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from mech_music.base.errors import UserError, first_line
from mech_music.doctor.parts import FilePart, HubPart, Part
from mech_music.doctor.verdict import readable

log = logging.getLogger(__name__)
_AS_IT_IS = {"Accept-Encoding": "identity"}
_AGAIN = "give the same command again to go on from there"


def fetch(parts: Sequence[Part]) -> list[str]:
    """Get what is missing and check all of it; a line for each part. UserError says where it stopped."""
    return [_fetch_hub(part) if isinstance(part, HubPart) else _fetch_file(part) for part in parts]


# -- the hub -----------------------------------------------------------------------------------------------


def _fetch_hub(part: HubPart) -> str:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.hf_api import RepoFile

    repo, cache = part.place()
    try:
        commit = str(HfApi().repo_info(repo, revision=part.revision).sha)
        entries = HfApi().list_repo_tree(repo, revision=commit)
        listed = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
        wanted = _wanted(part, listed)
        blobs = cache / f"models--{repo.replace('/', '--')}" / "blobs"
        for name in wanted:
            if listed[name].lfs is not None:
                _continue(repo, commit, listed[name], blobs)
        folder = Path(snapshot_download(repo, revision=part.revision, allow_patterns=wanted, cache_dir=cache))
    except KeyboardInterrupt:
        raise UserError(f"{part.what}: stopped{_so_far(repo, cache)}; {_AGAIN}") from None
    except UserError:
        raise
    except Exception as error:  # the hub client raises many kinds: no network, no such id, not allowed
        log.info("not fetched", exc_info=error)
        raise UserError(f"{part.what}: {first_line(error)}{_so_far(repo, cache)}; {_AGAIN}") from None
    size = sum(_checked(folder / name, listed[name]) for name in wanted)
    return f"{part.what}: {len(wanted)} files, {size / 1e6:.1f} MB, as the hub lists them at {commit[:12]}"


def _wanted(part: HubPart, listed: dict[str, Any]) -> list[str]:
    """Of each group the first that the repository has."""
    found = [next((name for name in group if name in listed), None) for group in part.groups]
    lacking = [group[0] for group, name in zip(part.groups, found, strict=True) if name is None]
    if lacking:
        raise UserError(f"{part.what}: its repository has no {' and no '.join(lacking)}: is the id right?")
    return [name for name in found if name is not None]


def _continue(repo: str, commit: str, entry: Any, blobs: Path) -> None:
    """A large file into the client's cache, from where an earlier process left it."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    whole, partial = blobs / entry.lfs.sha256, blobs / f"{entry.lfs.sha256}.partial"
    if whole.exists():
        return
    blobs.mkdir(parents=True, exist_ok=True)
    url = hf_hub_url(repo, entry.path, revision=commit)
    headers = build_hf_headers()
    location = get_hf_file_metadata(url).location
    # Elsewhere, a token for the hub is nobody's business.
    headers = headers if urlparse(location).netloc == urlparse(url).netloc else {}
    _rest_of(location, partial, entry.size, entry.path, headers)
    if _sha256(partial) != entry.lfs.sha256:
        partial.unlink()
        raise UserError(f"{entry.path} of '{repo}' was damaged on its way and is removed: give the same command again")
    partial.replace(whole)


def _rest_of(url: str, partial: Path, size: int, name: str, headers: dict[str, str]) -> None:
    """What is not yet in ``partial`` of a file of ``size`` bytes."""
    from huggingface_hub.file_download import http_get

    with partial.open("ab") as file:
        done = file.tell()
        if done < size:
            http_get(url, file, resume_size=done, headers=headers, expected_size=size, displayed_filename=name)


def _so_far(repo: str, cache: Path) -> str:
    return _kept((cache / f"models--{repo.replace('/', '--')}" / "blobs").glob("*.partial"))


def _kept(partial: Iterable[Path]) -> str:
    size = sum(path.stat().st_size for path in partial if path.exists())
    return f", {size / 1e6:.1f} MB of the file that was under way are kept" if size else ""


def _checked(path: Path, entry: Any) -> int:
    """The size of a file that is what the hub lists, and can be opened. UserError, and it is removed, if it is not."""
    if entry.lfs is not None:
        same = path.stat().st_size == entry.size and _sha256(path) == entry.lfs.sha256
    else:
        content = path.read_bytes()
        same = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == entry.blob_id
    if not same:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise UserError(f"'{path}' was not what the hub lists and is removed: give the same command again")
    readable(path)
    return entry.size


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- torch.hub and local files -----------------------------------------------------------------------------


def _fetch_file(part: Part) -> str:
    """PaSST's checkpoint, of which only the size is known beforehand: it is opened, and nothing else is checked."""
    if part.missing() and isinstance(part, FilePart) and part.url is not None:
        _from_url(part.what, part.url, *part.paths)
    if missing := part.missing():
        raise UserError(f"{part.what}: {' and '.join(missing)} missing: {part.command}")
    for path in part.files():
        readable(path)
    size = sum(os.path.getsize(path) for path in part.files())
    return f"{part.what}: {len(part.files())} files, {size / 1e6:.1f} MB, can be read"


def _from_url(what: str, url: str, path: Path) -> None:
    from huggingface_hub.utils import get_session, hf_raise_for_status

    partial = path.with_name(f"{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        answer = get_session().head(url, headers=_AS_IT_IS)
        hf_raise_for_status(answer)
        size = int(answer.headers["Content-Length"])
        if partial.exists() and partial.stat().st_size > size:
            partial.unlink()  # of another version
        _rest_of(url, partial, size, path.name, _AS_IT_IS)
    except KeyboardInterrupt:
        raise UserError(f"{what}: stopped{_kept([partial])}; {_AGAIN}") from None
    except Exception as error:  # the client raises many kinds
        log.info("not fetched", exc_info=error)
        raise UserError(f"{what}: {first_line(error)}{_kept([partial])}; {_AGAIN}") from None
    partial.replace(path)
