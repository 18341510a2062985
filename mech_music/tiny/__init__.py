"""musicgen-tiny: a MusicGen at 1/200 scale, trained on synthesised music whose concepts are known."""

import hashlib
import json
import logging
from functools import cache
from pathlib import Path
from typing import Any

from mech_music.errors import UserError

log = logging.getLogger(__name__)

# The folder that `xp.cfg` names by the resolver below, and the words already warned of.
_T5: dict[str, Path] = {}
_WARNED: set[str] = set()
T5_NAME = "${mech_music_tiny_t5:}"


def packaged_bundle() -> Path:
    """Where the package keeps the weights; nothing is checked."""
    return Path(__file__).parent / "bundle"


@cache
def verify_bundle(folder: Path) -> Path:
    """Compare every file of a bundle with its hashes, once a process.

    Raises UserError that names a missing or altered file.
    """
    fix = "restore it from git (git checkout -- mech_music/tiny/bundle), reinstall the package, or run `make tiny`"
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
    """Make audiocraft able to load tiny: register its T5 folder (default: the bundle's), absolute, and return it.

    `xp.cfg` names the folder by an OmegaConf resolver, so it is found from any working directory. Call it before
    `MusicGen.get_pretrained(<bundle folder>)`. From then on a prompt word that tiny's tokenizer does not know is
    warned of once (it is mapped to the unknown token).
    """
    from omegaconf import OmegaConf

    from mech_music.models.quiet import quiet_imports

    with quiet_imports():
        from audiocraft.modules.conditioners import T5Conditioner
    t5 = (folder or bundle_dir() / "t5").resolve()
    config_path = t5 / "config.json"
    try:
        width = json.loads(config_path.read_text())["d_model"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{t5} is not a T5 folder: {config_path} is missing or unreadable") from error
    _T5["folder"] = t5
    OmegaConf.register_new_resolver("mech_music_tiny_t5", lambda: str(_T5["folder"]), replace=True)
    if str(t5) not in T5Conditioner.MODELS:
        T5Conditioner.MODELS.append(str(t5))
    T5Conditioner.MODELS_DIMS[str(t5)] = width
    _warn_of_unknown_words(T5Conditioner)
    return t5


def _warn_of_unknown_words(conditioner_class: Any) -> None:
    """Let audiocraft's tokenizing step report the words that tiny does not know; the tokens stay as they are."""
    tokenize = conditioner_class.tokenize
    if getattr(tokenize, "reports_unknown_words", False):
        return

    def tokenize_and_report(self: Any, x: list[str | None]) -> dict[str, Any]:
        if self.name == str(_T5["folder"]):
            known = self.t5_tokenizer.get_vocab()
            for word in dict.fromkeys(word for text in x for word in (text or "").split()):
                if f"▁{word}" not in known and word not in _WARNED:
                    _WARNED.add(word)
                    log.warning("musicgen-tiny does not know the word %r: it is read as <unk>", word)
        return tokenize(self, x)

    tokenize_and_report.reports_unknown_words = True  # pyright: ignore[reportFunctionMemberAccess]
    conditioner_class.tokenize = tokenize_and_report
