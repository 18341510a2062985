"""Train the same model with each attention: `python -m mech_music.models.symbolic.compare`.

Killed, it continues where it was. Seed by seed: ``comparison.json`` is written anew whenever all attentions have a
further seed. ``held_out.csv``: the loss of each held-out piece.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import hydra
import pandas as pd
from omegaconf import DictConfig

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError, unknown
from mech_music.config.paths import conf_dir
from mech_music.models.symbolic import train
from mech_music.models.symbolic.corpora.registry import PLANTED, load
from mech_music.models.symbolic.decoder import Decoder
from mech_music.models.symbolic.held_out import compared, nats_of_pieces
from mech_music.models.symbolic.relations import ATTENTION
from mech_music.models.symbolic.settings import CompareConfig, SymbolicConfig, register
from mech_music.models.symbolic.training import SymbolicFolder
from mech_music.models.symbolic.training import train as train_folder
from mech_music.tiny import stages

log = logging.getLogger(__name__)


def runs(config: CompareConfig) -> Iterator[SymbolicConfig]:
    """The trainings, seed by seed, each in a folder of its own."""
    plain = SymbolicConfig(**{field.name: getattr(config, field.name) for field in fields(SymbolicConfig)})
    for seed in config.seeds:
        for attention in config.attentions:
            folder = str(Path(config.folder) / f"{attention}-{seed}")
            yield replace(plain, seed=seed, folder=folder, shape=replace(config.shape, attention=attention))


def run(config: CompareConfig) -> None:
    """Train what is not trained yet, then compare. UserError for a config that makes no sense."""
    if config.corpus.name == PLANTED:
        raise UserError(
            "corpus=planted: attentions are compared on held-out pieces: use chorales, folk, pop909 or midi"
        )
    for name in (wanted := config.attentions):
        if name not in ATTENTION:
            raise UserError(unknown("attention", name, ATTENTION))
    if not wanted or not config.seeds:
        raise UserError("attentions=[] or seeds=[]: name at least one of each")
    tables, decoders = [], dict[str, Decoder]()
    for number, one in enumerate(runs(config), 1):
        log.info("%s, seed %d", one.shape.attention, one.seed)
        train.run(one)
        decoders[one.shape.attention] = decoder = train_folder(SymbolicFolder(one))
        own = nats_of_pieces(decoder, load(config.corpus).held_out)
        own.insert(0, "seed", one.seed)
        own.insert(0, "attention", one.shape.attention)
        tables.append(own)
        if number % len(wanted) == 0:
            _write(config, pd.concat(tables, ignore_index=True), decoders)


def _write(config: CompareConfig, table: pd.DataFrame, decoders: Mapping[str, Decoder]) -> None:
    baseline = "plain" if "plain" in config.attentions else config.attentions[0]
    found = compared(table, baseline)
    lines = [
        {
            "attention": one.attention,
            "parameters": sum(weight.numel() for weight in decoders[one.attention].parameters()),
            "loss": one.loss._asdict(),
            "seeds": {str(seed): loss for seed, loss in one.seeds.items()},
            f"above_{baseline}": one.less._asdict(),
        }
        for one in found
    ]
    with replacing(Path(config.folder) / "held_out.csv") as path:
        table.to_csv(path, index=False)
    with replacing(Path(config.folder) / "comparison.json") as path:
        manifest = load(config.corpus).manifest
        path.write_text(json.dumps({"unit": "nats a note", "attentions": lines, **manifest}, indent=1) + "\n")
    for one in found:
        loss, less = one.loss, one.less
        told = f"{loss.mean:.3f} [{loss.low:.3f}, {loss.high:.3f}] nats a note"
        log.info("%s: %s, %+.3f [%+.3f, %+.3f] beside %s", one.attention, told, *less[:3], baseline)


@hydra.main(version_base="1.3", config_path=str(conf_dir() / "symbolic"), config_name="compare")
def _app(config: DictConfig) -> None:
    stages.launch(run, config, CompareConfig)


def main() -> None:
    """Entry point."""
    register()
    _app()


if __name__ == "__main__":
    main()
