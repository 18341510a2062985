"""The bundled model's files, checked by their hashes; and how audiocraft is told of a T5 that it does not know."""

import hashlib
import json
from functools import cache
from pathlib import Path

from mech_music.base.errors import UserError

T5_NAME = "${mech_music_tiny_t5:}"
"""What the ``xp.cfg`` of a model that brings its own T5 calls it: a resolver, so that it is found from anywhere."""
_T5: dict[str, Path] = {}


def packaged_bundle() -> Path:
    """Where the package keeps the weights; nothing is checked."""
    return Path(__file__).parents[2] / "tiny" / "bundle"


def planted_folder() -> Path:
    """Where the package keeps versions of the model whose circuit is known, a folder each; nothing is checked."""
    return packaged_bundle().parent / "planted"


def long_bundle() -> Path:
    """Where the package keeps the model of 25.6 s (`mech_music.tiny.long`); nothing is checked."""
    return packaged_bundle().parent / "long" / "bundle"


@cache
def verify_bundle(folder: Path) -> Path:
    """Compare every file of a bundle with its hashes, once a process.

    Raises UserError that names a missing or altered file.
    """
    fix = "restore it from git (git checkout -- mech_music/tiny), reinstall the package, or run `make tiny`"
    hashes_path = folder / "hashes.json"
    try:
        hashes: dict[str, str] = json.loads(hashes_path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"musicgen-tiny: {hashes_path} is missing or unreadable: {fix}") from error
    for name, wanted in hashes.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"musicgen-tiny: {path} is missing: {fix}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
            raise UserError(f"musicgen-tiny: {path} is altered (its hash differs): {fix}")
    return folder


def bundle_dir() -> Path:
    """The verified folder to give to `MusicGen.get_pretrained`. Raises UserError for a missing or altered file."""
    return verify_bundle(packaged_bundle())


def register_t5(folder: Path | None = None) -> Path:
    """Make audiocraft, which knows T5s by their names, able to load the one in a folder (default: the bundle's).

    Call it before `MusicGen.get_pretrained(<bundle folder>)`. Returns the folder, absolute; UserError if it is none.
    """
    from omegaconf import OmegaConf

    from mech_music.models.musicgen.imports import audiocraft_imports

    with audiocraft_imports():
        from audiocraft.modules.conditioners import T5Conditioner
    t5 = (folder or bundle_dir() / "t5").resolve()
    try:
        width = json.loads((t5 / "config.json").read_text())["d_model"]
    except (OSError, ValueError, KeyError):
        raise UserError(f"'{t5}' is no T5: its config.json is missing or unreadable; fetch it again") from None
    if t5.name == "t5":  # a model's own, which its `xp.cfg` names by the resolver
        _T5["folder"] = t5
        OmegaConf.register_new_resolver("mech_music_tiny_t5", lambda: str(_T5["folder"]), replace=True)
    if str(t5) not in T5Conditioner.MODELS:
        T5Conditioner.MODELS.append(str(t5))
    T5Conditioner.MODELS_DIMS[str(t5)] = width
    return t5
