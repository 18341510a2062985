"""The folder of an SAE, here or on the hub, found without reading it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mech_music.base.content import folder_content
from mech_music.base.errors import UserError
from mech_music.base.hub import Wanted, snapshot
from mech_music.saes.named import SaeFile

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"
SCALER = "activation_scaler.json"
HUB = "hub:"


@dataclass(frozen=True)
class Format:
    """What the files of an SAE are called by those who publish it so."""

    name: str
    weights: str
    config: str
    beside: tuple[str, ...] = ()

    def files(self, folder: Path) -> tuple[str, ...]:
        """All of them that are read: two, and those ``beside`` that are there."""
        return (self.weights, self.config, *(name for name in self.beside if (folder / name).is_file()))


FORMATS = (
    Format("SAELens", WEIGHTS, CONFIG, (SCALER,)),
    Format("sparsify", "sae.safetensors", CONFIG),
    Format("dictionary_learning", "ae.pt", "config.json"),
    Format("DC-SAE", "model.safetensors", "model.json"),
)
_FIX = f"give sae.path a folder with {CONFIG} and {WEIGHTS} (or the files of {{others}}), or null to train one".format(
    others=", ".join(one.name for one in FORMATS[1:])
)


def format_of(folder: Path) -> Format:
    """By the name of the weights; SAELens' where there are none."""
    return next((one for one in FORMATS if (folder / one.weights).is_file()), FORMATS[0])


def find_sae(path: str, revision: str | None = None, hook: str | None = None) -> SaeFile:
    """The SAE in a folder, named by its content; ``hub:<owner>/<name>/<folder>`` is one of a repository of the hub.

    ``revision``: a commit, tag or branch of the repository; ``hook``: what the file's own name of its hook stands for.
    UserError if there is none, or half of one.
    """
    if revision is not None and not path.startswith(HUB):
        raise UserError(f"sae.revision={revision} belongs to a repository of the hub: the folder '{path}' has none")
    place = _from_hub(path.removeprefix(HUB), revision) if path.startswith(HUB) else Path(path).expanduser()
    files = format_of(place)
    stamp = tuple((place / name).stat().st_mtime_ns for name in files.files(place) if (place / name).exists())
    return SaeFile(_content(place, files, stamp), str(place), hook or "")


@lru_cache(maxsize=16)
def _content(place: Path, files: Format, stamp: tuple[int, ...]) -> str:
    """Read again only if a file was written since."""
    return folder_content("SAE", place, files.files(place), _FIX)


def _from_hub(name: str, revision: str | None) -> Path:
    owner, _, rest = name.partition("/")
    repo, _, inside = rest.partition("/")
    if not owner or not repo:
        raise UserError(f"sae.path={HUB}{name}: expected {HUB}<owner>/<name> or {HUB}<owner>/<name>/<folder>")
    weights, configs = (tuple(getattr(one, kind) for one in FORMATS) for kind in ("weights", "config"))
    wanted = Wanted(
        f"SAE '{name}'",
        (f"{owner}/{repo}",),
        (weights, tuple(dict.fromkeys(configs))),
        revision,
        ", or set sae.path to a local folder",
        also=(*weights, *configs, SCALER),
        inside=inside.strip("/"),
        setting="sae.revision",
    )
    return snapshot(wanted)
