"""Planted models: the bundled language model, trained further with cross-attention shut at all but known places.

Where cross-attention's output projection is zero, text says nothing, whatever training does: so the circuit is known by
construction and by nothing else. Codec and classifier are tiny's own. An entry for some kinds of words sees these words
alone: the text encoder is then one fixed, separate coordinate for each word, without context; keys of zero make the
entry attend evenly, so that its output depends on those words of the prompt and on nothing else, not even on the music.
"""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from audiocraft.models.lm import LMModel
from jaxtyping import Bool, Int
from torch import Tensor, nn

from mech_music.base.atomic import replacing
from mech_music.base.errors import UserError
from mech_music.tiny import codec, data, language_model, loop, text_encoder
from mech_music.tiny.bundle import load_checkpoint, save_checkpoint, write_hashes
from mech_music.tiny.config import EntryConfig, LanguageModelConfig
from mech_music.tiny.workspace import Workspace

_SHARED = ("compression_state_dict.bin", "t5", "classifier.safetensors", "classifier.json")


def word_coordinates(kinds: Sequence[str] = tuple(data.GROUPS)) -> dict[int, int]:
    """Of every word of these kinds its token and its own coordinate in the text's embedding."""
    pieces, found = text_encoder.vocabulary(), dict[int, tuple[str, int]]()
    for kind, phrases in data.GROUPS.items():
        phrases = (*phrases, "electronic") if kind == "genre" else phrases
        for word in dict.fromkeys(word for phrase in phrases for word in phrase.split()):
            found[pieces.index(f"▁{word}")] = (kind, len(found))
    return {token: coordinate for token, (kind, coordinate) in found.items() if kind in kinds}


def check(entries: Sequence[EntryConfig], model: LanguageModelConfig, name: str) -> None:
    """UserError, one line, for an entry that the model does not have."""
    for entry in entries:
        where = f"planted.circuits.{name}"
        if not 0 <= entry.layer < model.layers:
            raise UserError(f"{where}: layer {entry.layer} does not exist: allowed are 0 to {model.layers - 1}")
        if entry.head is not None and not 0 <= entry.head < model.heads:
            raise UserError(f"{where}: head {entry.head} does not exist: allowed are 0 to {model.heads - 1}")
        if unknown := set(entry.words) - set(data.GROUPS):
            raise UserError(f"{where}: unknown words '{min(unknown)}'; allowed: {', '.join(data.GROUPS)}")
    if any(entry.words for entry in entries) and len(word_coordinates()) > model.text_width:
        raise UserError(f"planted.circuits.{name}: {len(word_coordinates())} words need as large a text_width")
    if len({bool(entry.words) for entry in entries}) != 1:
        raise UserError(f"planted.circuits.{name}: expected entries, and words at each of them or at none")


def plant(model: LMModel, entries: Sequence[EntryConfig]) -> None:
    """Shut every other way for text, in place: what is set to zero here keeps a gradient of zero."""
    if entries[0].words:
        _separate_words(model)
    layers: Any = model.transformer.layers
    for number, layer in enumerate(layers):
        own, attention = [entry for entry in entries if entry.layer == number], layer.cross_attention
        keep_zero(attention.out_proj.weight, _shut(attention, own))
        if own and own[0].words:
            # Values anew, of a size that an even softmax over the prompt leaves something of.
            nn.init.normal_(attention.in_proj_weight.data[2 * attention.embed_dim :], std=0.1)
            keep_zero(attention.in_proj_weight, _unseen(attention, own))


def keep_zero(weight: nn.Parameter, shut: Bool[Tensor, "out in"]) -> None:
    """Set a part of a weight to zero, and keep training from moving it (weight decay does not move zeros)."""
    weight.data[shut] = 0.0
    weight.register_hook(lambda gradient: gradient.masked_fill(shut, 0.0))


def _shut(attention: Any, entries: Sequence[EntryConfig]) -> Bool[Tensor, "out in"]:
    """Columns of the output projection that belong to no entry's head."""
    width = attention.embed_dim // attention.num_heads
    open_heads = torch.zeros(attention.num_heads, dtype=torch.bool)
    for entry in entries:
        open_heads[slice(None) if entry.head is None else entry.head] = True
    return ~open_heads.repeat_interleave(width).expand(attention.embed_dim, -1)


def _unseen(attention: Any, entries: Sequence[EntryConfig]) -> Bool[Tensor, "out in"]:
    """Queries and keys, and of values what is no coordinate of the entry's own words."""
    size, width = attention.embed_dim, attention.embed_dim // attention.num_heads
    shut = torch.ones(3 * size, size, dtype=torch.bool)
    for entry in entries:
        start = 0 if entry.head is None else entry.head * width
        rows = slice(2 * size + start, 2 * size + (size if entry.head is None else start + width))
        shut[rows, list(word_coordinates(entry.words).values())] = False
    return shut


def _separate_words(model: LMModel) -> None:
    """Make the text encoder give every word its own coordinate, without context, and train it no further."""
    text: Any = model.condition_provider.conditioners["description"]
    t5 = text.t5
    for block in t5.encoder.block:
        block.layer[0].SelfAttention.o.weight.data.zero_()
        block.layer[1].DenseReluDense.wo.weight.data.zero_()
    t5.encoder.final_layer_norm.weight.data.fill_(1.0)
    t5.shared.weight.data.zero_()
    for token, coordinate in word_coordinates().items():
        t5.shared.weight.data[token, coordinate] = 1.0
    text.output_proj.bias.data.zero_()
    text.output_proj.weight.data.copy_(2.0 * torch.eye(*text.output_proj.weight.shape))
    for parameter in (*t5.parameters(), *text.output_proj.parameters()):
        parameter.requires_grad_(False)


def _codes(workspace: Workspace, bundle: Path) -> Int[Tensor, "clip codebook frame"]:
    """The corpus as tokens of the bundled codec, made once."""
    if not workspace.is_done("planted_codes"):
        model = codec.build(workspace.config.codec)
        model.load_state_dict(load_checkpoint(bundle / "compression_state_dict.bin"))
        codec.write_codes(workspace, "planted_codes", model.eval())
    return workspace.load_tensors("planted_codes")["codes"]


def _train(workspace: Workspace, bundle: Path, name: str) -> dict[str, Tensor]:
    stage, config = f"planted-{name}", workspace.config
    if not workspace.is_done(stage):
        model = language_model.build(workspace, config)
        model.load_state_dict(load_checkpoint(bundle / "state_dict.bin"))
        circuit, codes = config.planted.circuits[name], _codes(workspace, bundle)
        plant(model, circuit.entries)
        how, texts = (circuit.loop.batch, config.language_model.condition_dropout), language_model.texts_of(workspace)
        loss_of = language_model.mean_cross_entropy
        trainer = language_model.Trainer(workspace, model, stage, how, codes, texts, nullcontext, loss_of)
        loop.train(workspace, stage, model, circuit.loop, trainer.loss)
        workspace.save_tensors(stage, model.state_dict())
    return workspace.load_tensors(stage)


def run(workspace: Workspace) -> None:
    """The planted stage: train every circuit from the bundle, and write each a folder beside it."""
    config = workspace.config
    bundle = Path(config.bundle) if config.bundle else workspace.folder / "bundle"
    for name, circuit in config.planted.circuits.items():
        check(circuit.entries, config.language_model, name)
    for name in config.planted.circuits:
        folder = bundle.parent / "planted" / name
        state = _train(workspace, bundle, name)
        folder.mkdir(parents=True, exist_ok=True)
        save_checkpoint(folder / "state_dict.bin", state, language_model.lm_config(config))
        for shared in _SHARED:  # links, so that the folder is whole and holds only what is its own
            with replacing(folder / shared) as partial:
                partial.symlink_to(os.path.relpath(bundle / shared, folder))
        write_hashes(folder, ("state_dict.bin",))
