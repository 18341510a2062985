"""Makes checkpoints in the published format, with random weights: the two files of ``facebook/musicgen-*``, and a
hub cache with the text encoder and the codec that they name.

The widths are free; everything else (keys, number formats, config, layout of the cache) is as published.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import Tensor, nn

from mech_music.base.quiet import quiet_imports
from tests.made import lm_config

with quiet_imports():
    import sentencepiece
    from transformers import EncodecConfig, EncodecModel, T5Config, T5ForConditionalGeneration, T5Tokenizer

    from mech_music.models.musicgen.build import outline

T5, CODEC = "t5-base", "facebook/encodec_32khz"
COMMIT = "4c8334b02c6ec4e8664a91979669a501ec497792"
_WORDS = (
    "Compose a happy groovy energetic emotional passionate rock pop jazz electronic classical hip hop EDM piece, "
    "with a guitar piano trumpet violin flute melody. Use a fast medium slow slow to medium medium to fast tempo."
)


@dataclass(frozen=True)
class Size:
    """The widths of a made checkpoint. Defaults: what a test needs; `SMALL`: what ``musicgen-small`` has."""

    dim: int = 32
    layers: int = 2
    heads: int = 2
    card: int = 64
    codec_filters: int = 2
    codec_hidden: int = 8
    t5_layers: int = 1
    t5_hidden: int = 32
    t5_heads: int = 2
    t5_words: int = 128


SMALL = Size(1024, 24, 16, 2048, 64, 128, 12, 3072, 12, 32128)


def published_config(size: Size, stereo: bool = False, melody: bool = False) -> dict[str, Any]:
    """``xp.cfg`` as audiocraft exports it for the solver ``musicgen``: unresolved, with training's keys."""
    config = lm_config(T5, size.dim, size.layers, size.heads, size.card)
    config |= {
        "device": "cuda", "dtype": "float32", "autocast": True, "autocast_dtype": "float16", "seed": 2036,
        "solver": "musicgen", "sample_rate": 32000, "channels": 2 if stereo else 1, "compression_model_n_q": None,
        "compression_model_checkpoint": f"//pretrained/{CODEC}", "efficient_attention_backend": "torch",
        "tokens": {"padding_with_special_token": False}, "attribute_dropout": {},
        "interleave_stereo_codebooks": {"use": stereo, "per_timestep": False},
        "cache": {"path": None, "write": False, "write_shard": 0, "write_num_shards": 1},
        "dataset": {"batch_size": 192, "segment_duration": 30, "train": {"merge_text_p": 0.25, "drop_desc_p": 0.5}},
        "generate": {"every": 25, "path": "samples", "audio": {"sample_rate": "${sample_rate}"}},
        "optim": {"updates_per_epoch": 2000, "ema": {"use": True, "updates": "${optim.updates_per_epoch}"}},
        "fsdp": {"use": False, "param_dtype": "float16"}, "dora": {"dir": "/checkpoint/${oc.env:NOBODY}/outputs"},
    }  # fmt: skip
    config["codebooks_pattern"] |= {
        "unroll": {"flattening": [0, 1, 2, 3], "delays": [0, 0, 0, 0]},
        "music_lm": {"group_by": 2},
        "coarse_first": {"delays": [0, 0, 0]},
    }
    config["transformer_lm"]["weight_init"] = "gaussian"
    config["conditioners"]["args"] = {"merge_text_conditions_p": 0.25, "drop_desc_p": 0.5}
    if stereo:
        config["transformer_lm"]["n_q"] = 8
        config["codebooks_pattern"]["delay"]["delays"] = [0, 0, 1, 1, 2, 2, 3, 3]
    if melody:
        config["fuser"] |= {"prepend": ["self_wav", "description"], "cross": []}
        chroma = {
            "sample_rate": "${sample_rate}", "n_chroma": 12, "radix2_exp": 14, "argmax": True, "cache_path": None,
            "eval_wavs": None, "n_eval_wavs": 100, "match_len_on_eval": True,
        }  # fmt: skip
        config["conditioners"]["self_wav"] = {"model": "chroma_stem", "chroma_stem": chroma}
    return config


def make_published(folder: Path, size: Size = Size(), stereo: bool = False, melody: bool = False) -> Path:
    """Write ``state_dict.bin`` and ``compression_state_dict.bin``; the weights are in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    config = published_config(size, stereo, melody)
    shapes = outline(OmegaConf.create(config)).state_dict()
    if melody:
        shapes["condition_provider.conditioners.self_wav.output_proj.weight"] = torch.empty(size.dim, 12)
        shapes["condition_provider.conditioners.self_wav.output_proj.bias"] = torch.empty(size.dim)
        shapes["condition_provider.conditioners.self_wav.chroma.spec.window"] = torch.empty(2**14)
    shapes["condition_provider.conditioners.description.output_proj.weight"] = torch.empty(size.dim, 768)
    shapes["condition_provider.conditioners.description.output_proj.bias"] = torch.empty(size.dim)
    lm = {"best_state": random_state(shapes, torch.float16), "xp.cfg": OmegaConf.to_yaml(OmegaConf.create(config))}
    torch.save(lm | {"version": "1.3.0", "exported": True}, folder / "state_dict.bin")
    codec = {"pretrained": CODEC, "exported": True, "version": "1.3.0"}
    torch.save(codec, folder / "compression_state_dict.bin")
    return folder


def random_state(shapes: dict[str, Tensor], dtype: torch.dtype = torch.float32, seed: int = 0) -> dict[str, Tensor]:
    """Small random weights; scales and norms as a new model has them."""
    noise = torch.Generator().manual_seed(seed)
    state = {}
    for name, like in shapes.items():
        spread = 0.6 / like.shape[-1] ** 0.5 if like.ndim > 1 else 0.1
        drawn = torch.empty(like.shape, dtype=torch.float32).normal_(
            1.0 if _is_scale(name) else 0.0, spread, generator=noise
        )
        state[name] = drawn.to(dtype)
    return state


def _is_scale(name: str) -> bool:
    return name.endswith(("weight_g", "layer_norm.weight", "cluster_size")) or (
        "norm" in name and name.endswith("weight")
    )


def put_in_cache(hub: Path, repo: str, made: Path, commit: str = COMMIT, ref: str = "main") -> Path:
    """Lay files out as the hub's client does: blobs, links to them in a snapshot, a ref. Returns the snapshot."""
    folder = hub / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    for sub in (snapshot, folder / "blobs", folder / "refs"):
        sub.mkdir(parents=True, exist_ok=True)
    (folder / "refs" / ref).write_text(commit)
    for file in made.iterdir():
        blob = folder / "blobs" / hashlib.sha256(file.name.encode() + made.name.encode()).hexdigest()
        file.rename(blob)
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


def make_t5(folder: Path, size: Size = Size()) -> Path:
    """``t5-base`` as published: the whole T5 in float32, ``spiece.model`` and ``tokenizer.json``; width 768."""
    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([_WORDS] * 20), model_prefix=str(folder / "spiece"), model_type="unigram",
        vocab_size=60, hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    (folder / "spiece.vocab").unlink()
    T5Tokenizer.from_pretrained(folder).save_pretrained(folder)
    (folder / "tokenizer_config.json").unlink()
    config = {
        "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "d_model": 768, "d_kv": 64,
        "d_ff": size.t5_hidden, "num_layers": size.t5_layers, "num_heads": size.t5_heads, "dropout_rate": 0.1,
        "vocab_size": size.t5_words, "feed_forward_proj": "relu", "relative_attention_num_buckets": 32,
        "initializer_factor": 1.0, "is_encoder_decoder": True, "layer_norm_epsilon": 1e-06, "n_positions": 512,
        "output_past": True, "use_cache": True, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        shapes = T5ForConditionalGeneration(T5Config(**config)).state_dict()
    kept = {name: shape for name, shape in shapes.items() if "embed_tokens" not in name and name != "lm_head.weight"}
    save_file(random_state(kept), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def make_codec(folder: Path, size: Size = Size()) -> Path:
    """``facebook/encodec_32khz`` as published: 32 kHz, 50 frames a second, weight norm under its old names."""
    folder.mkdir(parents=True, exist_ok=True)
    bits = {64: 6, 2048: 11}[size.card]
    config = {
        "architectures": ["EncodecModel"], "model_type": "encodec", "target_bandwidths": [50 * bits * 4 / 1000],
        "sampling_rate": 32000, "audio_channels": 1, "normalize": False, "chunk_length_s": None, "overlap": None,
        "hidden_size": size.codec_hidden, "num_filters": size.codec_filters, "num_residual_layers": 1,
        "upsampling_ratios": [8, 5, 4, 4], "norm_type": "weight_norm", "kernel_size": 7, "last_kernel_size": 7,
        "residual_kernel_size": 3, "dilation_growth_rate": 2, "use_causal_conv": False, "pad_mode": "reflect",
        "compress": 2, "num_lstm_layers": 2, "trim_right_ratio": 1.0, "codebook_size": size.card,
        "codebook_dim": size.codec_hidden, "use_conv_shortcut": False, "torch_dtype": "float32",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        shapes = EncodecModel(EncodecConfig(**config)).state_dict()
    save_file(random_state({_old_name(name): shape for name, shape in shapes.items()}), folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    return folder


def _old_name(name: str) -> str:
    """Weight norm's two parameters as torch called them when the codec was published."""
    new = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    for now, then in new.items():
        name = name.replace(now, then)
    return name


def make_hub(home: Path, size: Size = Size()) -> Path:
    """A filled hub cache (``HF_HOME/hub``) with the text encoder and the codec."""
    hub = home / "hub"
    put_in_cache(hub, T5, make_t5(home / "made-t5", size))
    put_in_cache(hub, CODEC, make_codec(home / "made-codec", size))
    return hub


def make_passt(path: Path) -> Path:
    """PaSST's published checkpoint with random weights: its network's state, 527 classes."""
    from mech_music.listeners.passt import PUBLISHED, PaSST

    net: nn.Module = PaSST(PUBLISHED).net
    torch.save(net.state_dict(), path)
    return path
