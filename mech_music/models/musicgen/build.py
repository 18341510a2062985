"""From a checkpoint's files to audiocraft's model, without a second copy of the weights.

audiocraft's own loader reads the whole file, builds the model with random weights beside it, and copies. Here its
builders make the same model as an outline (on torch's meta device), and each tensor of the file takes its place.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from mech_music.base.errors import UserError, first_line
from mech_music.base.machine import free_on, is_out_of_memory
from mech_music.base.quiet import quiet_imports
from mech_music.models.musicgen.bundled import register_t5
from mech_music.models.musicgen.footprint import Footprint, gigabytes
from mech_music.models.musicgen.hub import FILES, find_codec, text_encoder_of
from mech_music.models.musicgen.imports import audiocraft_imports
from mech_music.models.musicgen.published import Published
from mech_music.models.transformers_imports import outlines_left_empty

with audiocraft_imports():
    from audiocraft.models import builders
    from audiocraft.models.encodec import CompressionModel, HFEncodecCompressionModel
    from audiocraft.models.lm import LMModel
    from audiocraft.models.musicgen import MusicGen
    from audiocraft.modules.chroma import ChromaExtractor
    from audiocraft.modules.conditioners import ChromaStemConditioner, WaveformConditioner
    from audiocraft.utils.autocast import TorchAutocast
    from transformers import EncodecModel


def build(folder: Path, place: torch.device, dtype: str) -> MusicGen:
    """The MusicGen in ``folder``, on ``place``.

    ``float16`` is what audiocraft does on a GPU: the transformer in float16, embeddings and heads in float32, under
    autocast. ``bfloat16``: all of the language model, likewise. ``float32`` is the reference. The text encoder and
    the codec are always float32. UserError, one line, for files that do not fit, and if memory does not suffice.
    """
    file = Published.open(folder / FILES[0])
    with quiet_imports(), _fits(file, place, dtype):
        lm = _language_model(file, place, dtype)
        musicgen = MusicGen(str(folder), _codec(folder, place), lm)
    enabled = dtype != "float32"
    kwargs = {"device_type": place.type, "dtype": getattr(torch, dtype)} if enabled else {}
    musicgen.autocast = TorchAutocast(enabled=enabled, **kwargs)
    return musicgen


@contextmanager
def _fits(file: Published, place: torch.device, dtype: str) -> Iterator[None]:
    needed, free = Footprint.of_config(file.config).weight_bytes(dtype), free_on(place)
    advice = f"take a smaller model{', model.dtype=float16' * (place.type == 'cuda' and dtype == 'float32')} or free it"
    if free is not None and needed > free:
        raise UserError(
            f"the weights in '{file.path.parent}' need {gigabytes(needed)} in {dtype}, but {place} has "
            f"{gigabytes(free)} of memory free: {advice}"
        )
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"the weights in '{file.path.parent}' do not fit in the memory of {place}: {advice}") from error


# -- the language model ------------------------------------------------------------------------


def _language_model(file: Published, place: torch.device, dtype: str) -> LMModel:
    config = copy.deepcopy(file.config)
    config.device, config.dtype = str(place), dtype
    lm = outline(config)
    lm.condition_provider = _condition_provider(config, place, file.path.parent)
    if dtype == "bfloat16":
        _to_bfloat16(lm)
    fill(lm, file, place)
    lm.__dict__["cfg"] = config
    return lm.eval()


def _to_bfloat16(lm: LMModel) -> None:
    """All of a language model but the chromagram of a melody, whose conditioner works in float32."""
    lm.to(torch.bfloat16)
    for conditioner in lm.condition_provider.conditioners.values():
        if isinstance(conditioner, NoMelody):
            conditioner.chroma.float()


def outline(config: DictConfig) -> LMModel:
    """The language model of a config without its conditioners, on the meta device: shapes only."""
    bare = copy.deepcopy(config)
    bare.device, bare.conditioners = "meta", None
    for key, value in {"weight_init": None, "depthwise_init": None, "zero_bias_init": False}.items():
        bare.transformer_lm[key] = value  # nothing to initialise
    with torch.device("meta"), outlines_left_empty():
        return builders.get_lm_model(bare)


def fill(module: nn.Module, file: Published, place: torch.device) -> None:
    """Give every parameter and buffer its tensor of the file. UserError if names or shapes differ."""
    own: dict[str, Tensor] = module.state_dict(keep_vars=True)
    if odd := sorted(own.keys() ^ file.shapes.keys()):
        raise UserError(f"the weights in '{file.path}' do not fit its own config: {odd[0]} is missing or unexpected")
    if bad := [name for name in own if own[name].shape != file.shapes[name].shape]:
        raise UserError(
            f"the weights in '{file.path}' do not fit its config: {bad[0]} is {list(file.shapes[bad[0]].shape)}, "
            f"expected {list(own[bad[0]].shape)}"
        )
    with torch.no_grad():
        for name, tensor in file.tensors():
            if own[name].is_meta:
                _place(module, name, tensor.to(place, own[name].dtype, copy=True))
            else:
                own[name].copy_(tensor)


def _place(module: nn.Module, name: str, tensor: Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    if leaf in owner._parameters:
        owner._parameters[leaf] = nn.Parameter(tensor)
    else:
        owner._buffers[leaf] = tensor


# -- the text encoder --------------------------------------------------------------------------


def _condition_provider(config: DictConfig, place: torch.device, folder: Path) -> Any:
    """audiocraft's conditioners. Built on the CPU and moved: its T5 takes no device with a number."""
    on_cpu = copy.deepcopy(config)
    on_cpu.device = "cpu"
    t5 = text_encoder_of(config, folder).resolve()
    register_t5(t5)
    on_cpu.conditioners.description.t5.name = str(t5)
    melody = config.conditioners.get("self_wav")
    on_cpu.conditioners.pop("self_wav", None)
    try:
        with outlines_left_empty():
            provider = builders.get_conditioner_provider(config.transformer_lm.dim, on_cpu)
    except Exception as error:
        raise UserError(f"text encoder in '{t5}' cannot be loaded ({first_line(error)}): fetch it again") from error
    if melody is not None:
        chroma: Any = OmegaConf.to_container(melody.chroma_stem, resolve=True)
        provider.conditioners["self_wav"] = NoMelody(config.transformer_lm.dim, config.dataset.segment_duration, chroma)
    if place.type != "cpu":
        conditioners: Any = provider.conditioners
        conditioners["description"].__dict__["t5"] = conditioners["description"].t5.to(place)
        for conditioner in conditioners.values():
            conditioner.autocast = TorchAutocast(enabled=True, device_type=place.type, dtype=torch.float32)
            conditioner.device = str(place)
        provider.device = str(place)
    return provider.to(place)


class NoMelody(ChromaStemConditioner):
    """What a melody model hears where it is given text alone: audiocraft's conditioner, without Demucs.

    Demucs separates the sources of a given melody; here there is none, and it would be one more download.
    """

    def __init__(self, width: int, duration: float, chroma_stem: dict[str, Any]) -> None:
        melody = {"match_len_on_eval": True} | chroma_stem
        WaveformConditioner.__init__(self, dim=melody["n_chroma"], output_dim=width, device="cpu")
        extractor = {key: melody[key] for key in melody.keys() & inspect.signature(ChromaExtractor).parameters.keys()}
        self.chroma = ChromaExtractor(**extractor)
        self.autocast = TorchAutocast(enabled=False)
        self.sample_rate, self.duration = melody["sample_rate"], duration
        self.match_len_on_eval = melody["match_len_on_eval"]
        self._use_masking = not self.match_len_on_eval
        self.eval_wavs = self.cache = None
        self.chroma_len = self._get_chroma_len()


# -- the codec ---------------------------------------------------------------------------------


def _codec(folder: Path, place: torch.device) -> CompressionModel:
    file = Published.open(folder / FILES[1])
    if "pretrained" not in file.content:
        config = copy.deepcopy(file.config)
        config.device = "cpu"
        model: Any = builders.get_compression_model(config)
        fill(model, file, torch.device("cpu"))
        # audiocraft rounds it down, which cuts a clip short where a second is no whole number of frames.
        model.frame_rate = config.encodec.sample_rate / math.prod(config.seanet.ratios)
        return model.to(place).eval()
    found = find_codec(file.content["pretrained"])
    try:
        return HFEncodecCompressionModel(EncodecModel.from_pretrained(found)).to(place).eval()
    except Exception as error:
        raise UserError(f"codec in '{found}' cannot be loaded ({first_line(error)}): fetch it again") from error
