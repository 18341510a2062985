"""The weights that a model and its listener are made of: where they are looked for, and what of them is there.

Nothing here asks the network.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from omegaconf import OmegaConf

from mech_music.base.errors import UserError
from mech_music.base.paths import user_path
from mech_music.config.paths import find_config
from mech_music.config.schema import RunConfig
from mech_music.models.musicgen.hub import FILES
from mech_music.models.musicgen.published import Published

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_TOKENIZER = ("spiece.model", "tokenizer.json")
_T5, _CODEC = "t5-base", "facebook/encodec_32khz"


class Part(Protocol):
    """Files that belong together. ``what``: for people; ``command``: how to get what is missing."""

    @property
    def what(self) -> str: ...

    @property
    def command(self) -> str: ...

    def files(self) -> list[Path]:
        """What is there."""
        ...

    def missing(self) -> list[str]:
        """The names of the files that are not."""
        ...


@dataclass(frozen=True)
class HubPart:
    """Files of a repository: of each group at least one. ``repos``: the names that it has; the first is fetched."""

    what: str
    repos: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    revision: str | None = None

    @property
    def command(self) -> str:
        revision = f" --revision {self.revision}" if self.revision else ""
        return f"hf download {self.repos[0]} {' '.join(group[0] for group in self.groups)}{revision}"

    def files(self) -> list[Path]:
        return [path for path in self._found() if path is not None]

    def missing(self) -> list[str]:
        return [group[0] for group, path in zip(self.groups, self._found(), strict=True) if path is None]

    def place(self) -> tuple[str, Path]:
        """The name and the cache that hold the most of the files; the first of either if none does."""
        places = [(repo, cache) for repo in self.repos for cache in caches()]
        return max(places, key=lambda place: sum(self._first(group, *place) is not None for group in self.groups))

    def _found(self) -> list[Path | None]:
        """Of each group the first that is there."""
        place = self.place()
        return [self._first(group, *place) for group in self.groups]

    def _first(self, names: Sequence[str], repo: str, cache: Path) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        paths = [try_to_load_from_cache(repo, name, cache, self.revision) for name in names]
        return next((Path(path) for path in paths if isinstance(path, str)), None)


@dataclass(frozen=True)
class FilePart:
    """Files at places of their own; ``url``: where the one of torch.hub's cache is from."""

    what: str
    paths: tuple[Path, ...]
    command: str
    url: str | None = None

    def files(self) -> list[Path]:
        return [path for path in self.paths if path.is_file()]

    def missing(self) -> list[str]:
        return [path.name for path in self.paths if not path.is_file()]


def caches() -> list[Path]:
    """The hub's caches, in the order in which they are read; the first is written."""
    from huggingface_hub import constants

    named = [os.environ.get("AUDIOCRAFT_CACHE_DIR"), constants.HF_HUB_CACHE]
    return list(dict.fromkeys(user_path(cache) for cache in named if cache))


def parts_of(run: RunConfig) -> list[Part]:
    """Everything that a run of this config reads."""
    return [*model_parts(run), listener_part(run.classifier.name, run.classifier.path)]


def model_parts(run: RunConfig) -> list[Part]:
    """The two checkpoint files; the text encoder and the codec, unless the checkpoint brings its own."""
    model = run.model
    if model._target_ is not None:
        return []  # another kind of model, which says itself what it lacks
    if model.path is not None:
        folder = user_path(model.path)
        advice = f"point model.path at a folder with {' and '.join(FILES)}"
        first: Part = FilePart("checkpoint", tuple(folder / name for name in FILES), advice)
    elif model.hub_id is not None:
        first = HubPart(f"checkpoint {model.hub_id}", (model.hub_id,), tuple((name,) for name in FILES), model.revision)
    else:
        return [_bundled("checkpoint, text encoder, codec", (*FILES, "t5/model.safetensors", "t5/tokenizer.json"))]
    return [first, *_named_by(first)]


def _named_by(checkpoint: Part) -> list[Part]:
    """What a checkpoint only names; the published ones' parts, as long as it is not there to ask."""
    text, codec = _T5, _CODEC
    if not checkpoint.missing():
        try:
            lm, other = (Published.open(path) for path in checkpoint.files())
        except UserError:  # said where the files are checked
            return []
        text = "" if (lm.path.parent / "t5").is_dir() else lm.config.conditioners.description.t5.name
        codec = other.content.get("pretrained", "")
    parts: list[Part] = []
    if text and not Path(text).is_dir():
        repos = (text,) if "/" in text else (f"google-t5/{text}", text)
        parts.append(HubPart(f"text encoder {text}", repos, (_WEIGHTS, ("config.json",), _TOKENIZER)))
    if codec:
        parts.append(HubPart(f"codec {codec}", (codec,), (_WEIGHTS, ("config.json",))))
    return parts


def listener_part(name: str, path: str | None = None) -> Part:
    """The files of a classifier, by the name of its config."""
    what = f"classifier {name}"
    if path is not None:
        place = user_path(path)
        return FilePart(what, (place / "classifier.safetensors" if place.is_dir() else place,), "mend classifier.path")
    written = OmegaConf.load(find_config("classifier", name))
    if hub_id := OmegaConf.select(written, "hub_id"):
        groups = ((_WEIGHTS[0],), ("config.json",), ("preprocessor_config.json",))
        return HubPart(what, (hub_id,), groups, OmegaConf.select(written, "revision"))
    return _passt(what) if name == "passt" else _bundled(what, ("classifier.json", "classifier.safetensors"))


def _passt(what: str) -> FilePart:
    import torch

    from mech_music.base.quiet import quiet_imports

    with quiet_imports():
        from hear21passt.models.passt import default_cfgs

    url = str(default_cfgs["passt_s_swa_p16_128_ap476"]["url"])
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    return FilePart(what, (path,), f"download {url} to {path}", url)


def _bundled(what: str, names: Sequence[str]) -> FilePart:
    from mech_music.tiny import packaged_bundle

    return FilePart(f"{what} (bundled)", tuple(packaged_bundle() / name for name in names), "reinstall the package")
