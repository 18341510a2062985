"""Where the files of a model are: a local folder, the hub's cache, or (if they are in neither) the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mech_music.base.errors import UserError
from mech_music.base.hub import Wanted, lacking, snapshot
from mech_music.base.paths import user_path
from mech_music.models.musicgen.bundled import bundle_dir, long_bundle, planted_folder, verify_bundle

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
    folder = snapshot(Wanted(f"model '{hub_id}'", (hub_id,), tuple((name,) for name in FILES), revision, advice))
    return Source(folder, f"{hub_id} @ {folder.name}")


def _local(path: str) -> Path:
    folder = user_path(path)
    if (folder.parent == planted_folder() or folder == long_bundle()) and folder.is_dir():
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
    if missing := lacking(place, _TEXT_ENCODER):
        raise UserError(f"text encoder in '{place}' has no {missing[0]}: copy the whole folder, or fetch it again")
    return place


def find_text_encoder(name: str) -> Path:
    """The folder of a T5 that a checkpoint names (``t5-base``): weights, config and tokenizer.

    The hub calls the T5s ``google-t5/…`` today and answers to the old names as well, so a cache may have either.
    """
    repos = (name,) if "/" in name else (f"google-t5/{name}", name)
    return snapshot(Wanted(f"text encoder '{name}'", repos, _TEXT_ENCODER, also=_TOKENIZERS))


def find_codec(name: str) -> Path:
    """The folder of the codec that a checkpoint names (``facebook/encodec_32khz``)."""
    return snapshot(Wanted(f"codec '{name}'", (name,), (_WEIGHTS, _CONFIG)))


def deciding(folder: Path) -> list[Path]:
    """The files in the folder of a text encoder or codec that transformers reads, whatever lies beside them."""
    weights = [name for name in _WEIGHTS if (folder / name).is_file()][:1]
    return [folder / name for name in (*weights, *_CONFIG, *_TOKENIZERS, *_BESIDE) if (folder / name).is_file()]
