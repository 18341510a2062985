"""`python -m mech_music.structure.lags [path=<folder of a model>] [pieces=60] [folder=…]`.

Leaves ``lags.csv`` and ``intervals.csv`` (by head and for the mean over heads), ``lags.json`` (4, 8 and 12 bars beside
their neighbours; returns beside their null; all of it of the untrained model too) and the figure.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import hydra
import numpy as np
import pandas as pd
import torch
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError
from mech_music.config.paths import conf_dir
from mech_music.models.symbolic.corpora.fitting import Stretch
from mech_music.models.symbolic.corpora.registry import PLANTED, CorpusConfig, load
from mech_music.models.symbolic.decoder import Decoder
from mech_music.models.symbolic.files import load_decoder, read_card
from mech_music.models.symbolic.handle import BUNDLED
from mech_music.models.symbolic.model import SymbolicGenerator
from mech_music.models.symbolic.pieces import Piece, compose
from mech_music.models.symbolic.training import HELD_OUT
from mech_music.structure.lags.figure import draw
from mech_music.structure.lags.looking import WIDEST, Looked, look
from mech_music.structure.lags.scores import by_lag, met, over_pieces, periodic, sources_of
from mech_music.tiny import stages

log = logging.getLogger(__name__)
_PLANTED_SEED = 2024  # of the corpus that the bundled model is trained on


@dataclass
class LagsConfig:
    """``path``: of a symbolic model, empty for the bundled one. ``pieces``: how many held-out ones, all if there are
    fewer. ``seed``: of the untrained model."""

    path: str = ""
    pieces: int = 60
    folder: str = "outputs/symbolic/lags"
    seed: int = 0


def held_out(path: Path, n: int) -> list[Piece] | list[Stretch]:
    """Pieces that the model in a folder was not trained on: planted ones with a free form, or of its corpus."""
    card = read_card(path)
    if not card or card["corpus"]["name"] == PLANTED:
        return [compose(_PLANTED_SEED, HELD_OUT + number, {"form": "free"}) for number in range(n)]
    return list(load(CorpusConfig(**card["corpus"])).held_out)[:n]


def run(config: LagsConfig) -> None:
    """Measure, write, draw. UserError for a folder without a model, and too few pieces."""
    if config.pieces < 4:
        raise UserError(f"pieces={config.pieces}: intervals are over pieces; use 4 or more")
    path, folder = Path(config.path).expanduser() if config.path else BUNDLED, Path(config.folder)
    decoder, pieces = load_decoder(path), held_out(path, config.pieces)
    torch.manual_seed(config.seed)
    models = {"trained": decoder, "untrained": Decoder(decoder.shape, decoder.grid)}
    looked = {name: look(SymbolicGenerator(own), pieces) for name, own in models.items()}
    trained, sources = looked["trained"], [sources_of(piece) for piece in pieces]
    found = {
        "model": config.path or "symbolic-tiny",
        "attention": decoder.shape.attention,
        "pieces": len(pieces),
        "returning_bars": sum(source is not None for own in sources for source in own),
        **{name: _scores(own, sources) for name, own in looked.items()},
    }
    lags = _table(_arrays(by_lag(trained.bars.numpy()), by_lag(trained.even.numpy())), "lag", 0)
    lags.attrs["strongest"] = [
        (str(layer), head) for layer, head in _ranked(periodic(_relative(trained)), decoder.shape.heads)
    ]
    whole = _arrays(trained.intervals.numpy()[..., :-1], trained.even_intervals.numpy()[..., :-1])
    intervals = _table(whole, "interval", -WIDEST)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("lags", lags), ("intervals", intervals)):
        with replacing(folder / f"{name}.csv") as file:
            table.to_csv(file, index=False)
    with replacing(folder / "lags.json") as file:
        file.write_text(json.dumps(found, indent=1) + "\n")
    draw(lags, intervals, f"Where {found['model']} looks ({decoder.shape.attention})", folder)
    log.info("%s", json.dumps({name: found[name]["all"] for name in models}))


def _relative(looked: Looked) -> np.ndarray:
    return _arrays(by_lag(looked.bars.numpy()), by_lag(looked.even.numpy()))[..., :-1, :, :]


def _arrays(own: np.ndarray, even: np.ndarray) -> np.ndarray:
    """``[piece, layer, head, place]`` over even attention; the layer after the last holds the mean over all heads."""
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = own / np.where(even > 0, even, np.nan)[:, None, None]
    mean = relative.mean((1, 2), keepdims=True)
    return np.concatenate([relative, np.broadcast_to(mean, (len(own), 1, *own.shape[2:]))], 1)


def _scores(looked: Looked, sources: list[list[int | None]]) -> dict[str, dict[str, object]]:
    """By head, and of the mean over heads: ``periodic``, and attention to sources beside its null."""
    relative = _arrays(by_lag(looked.bars.numpy()), by_lag(looked.even.numpy()))
    stand_out = periodic(relative)
    own, null = met(looked.bars.numpy(), sources)
    layers, heads = own.shape[1:]
    found: dict[str, dict[str, object]] = {}
    for layer, head in [(layers, 0), *product(range(layers), range(heads))]:
        here = (slice(None), layer, head)
        to, other = (values.mean((1, 2)) if layer == layers else values[here] for values in (own, null))
        found["all" if layer == layers else f"{layer}.{head}"] = {
            "periodic": over_pieces(stand_out[here])._asdict(),
            "to_source": over_pieces(to)._asdict(),
            "null": over_pieces(other)._asdict(),
            "above_null": over_pieces(to - other)._asdict(),
        }
    return found


def _ranked(stand_out: np.ndarray, heads: int) -> list[tuple[int, int]]:
    means = np.nan_to_num(np.nanmean(stand_out, 0), nan=-np.inf).ravel()
    return [(int(place) // heads, int(place) % heads) for place in np.argsort(-means, kind="stable")]


def _table(relative: np.ndarray, x: str, first: int) -> pd.DataFrame:
    layers, lines = relative.shape[1] - 1, []
    for layer, head in [(layers, 0), *product(range(layers), range(relative.shape[2]))]:
        for place in range(relative.shape[3]):
            values = relative[:, layer, head, place]
            if np.isnan(values).all():
                continue
            mean, low, high, n = over_pieces(values)
            name = ("all", -1) if layer == layers else (str(layer), head)
            lines.append((*name, first + place, mean, low, high, n))
    return pd.DataFrame(lines, columns=pd.Index(["layer", "head", x, "relative", "low", "high", "pieces"]))


@hydra.main(version_base="1.3", config_path=str(conf_dir() / "symbolic"), config_name="lags")
def _app(config: DictConfig) -> None:
    stages.launch(run, config, LagsConfig)


def main() -> None:
    """Entry point."""
    ConfigStore.instance().store(name="lags_schema", node=LagsConfig)
    _app()


if __name__ == "__main__":
    main()
