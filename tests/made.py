"""Makes untrained checkpoints in the published format: the same files, the same keys, small widths."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import OmegaConf

from mech_music.base.quiet import quiet_imports

with quiet_imports():
    from audiocraft.models import builders
    from audiocraft.modules.conditioners import T5Conditioner
    from transformers import T5Config, T5EncoderModel, T5Tokenizer


def lm_config(t5_name: str, dim: int, layers: int, heads: int, card: int) -> dict:
    """``xp.cfg`` of a MusicGen language model, with the keys that audiocraft's loader reads."""
    return {
        "device": "cpu",
        "dtype": "float32",
        "lm_model": "transformer_lm",
        "dataset": {"segment_duration": 30},
        "transformer_lm": {
            "n_q": 4, "card": card, "dim": dim, "num_heads": heads, "num_layers": layers, "hidden_scale": 4,
            "dropout": 0.0, "emb_lr": None, "activation": "gelu", "norm_first": True, "bias_ff": False,
            "bias_attn": False, "bias_proj": False, "past_context": None, "causal": True, "custom": False,
            "memory_efficient": True, "attention_as_float32": False, "layer_scale": None,
            "positional_embedding": "sin", "xpos": False, "checkpointing": "none", "weight_init": "gaussian",
            "depthwise_init": "current", "zero_bias_init": True, "norm": "layer_norm", "cross_attention": False,
            "qk_layer_norm": False, "qk_layer_norm_cross": False, "attention_dropout": None, "kv_repeat": 1,
            "two_step_cfg": False,
        },
        "codebooks_pattern": {
            "modeling": "delay",
            "delay": {"delays": [0, 1, 2, 3], "flatten_first": 0, "empty_initial": 0},
        },
        "classifier_free_guidance": {"training_dropout": 0.3, "inference_coef": 3.0},
        "attribute_dropout": {"text": {}, "wav": {}},
        "fuser": {
            "cross_attention_pos_emb": False, "cross_attention_pos_emb_scale": 1, "sum": [], "prepend": [],
            "cross": ["description"], "input_interpolate": [],
        },
        "conditioners": {
            "description": {
                "model": "t5",
                "t5": {"name": t5_name, "finetune": False, "word_dropout": 0.3, "normalize_text": False},
            },
        },
    }  # fmt: skip


def codec_config(card: int) -> dict:
    """``xp.cfg`` of a small EnCodec: 16 kHz, 25 frames a second, four codebooks."""
    seanet = {
        "dimension": 16, "channels": 1, "causal": False, "n_filters": 4, "n_residual_layers": 1,
        "ratios": [10, 8, 8], "activation": "ELU", "activation_params": {"alpha": 1.0}, "norm": "none",
        "norm_params": {}, "kernel_size": 7, "residual_kernel_size": 3, "last_kernel_size": 7,
        "dilation_base": 2, "pad_mode": "constant", "true_skip": True, "compress": 2, "lstm": 0,
        "disable_norm_outer_blocks": 0, "encoder": {}, "decoder": {"trim_right_ratio": 1.0},
    }  # fmt: skip
    return {
        "device": "cpu",
        "compression_model": "encodec",
        "encodec": {
            "autoencoder": "seanet", "quantizer": "rvq", "sample_rate": 16000, "channels": 1,
            "causal": False, "renormalize": False,
        },
        "seanet": seanet,
        "rvq": {"n_q": 4, "bins": card, "q_dropout": False},
    }  # fmt: skip


def make_t5(folder: Path, d_model: int = 16) -> None:
    """A random T5 encoder whose tokenizer knows letters and spaces."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyzCDEGHMJPRUT.,[]-"]
    T5Tokenizer(vocab=[(piece, -float(i)) for i, piece in enumerate(pieces)], extra_ids=0).save_pretrained(folder)
    config = T5Config(vocab_size=len(pieces), d_model=d_model, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    T5EncoderModel(config).save_pretrained(folder)


def make_checkpoint(
    folder: Path, dim: int = 32, layers: int = 3, heads: int = 2, card: int = 64, seed: int = 0
) -> Path:
    """Write state_dict.bin, compression_state_dict.bin and a T5 folder; registers that T5 with audiocraft."""
    folder.mkdir(parents=True, exist_ok=True)
    with quiet_imports(), torch.random.fork_rng():
        torch.manual_seed(seed)
        t5 = str(folder / "t5")
        make_t5(folder / "t5")
        if t5 not in T5Conditioner.MODELS:
            T5Conditioner.MODELS.append(t5)
        T5Conditioner.MODELS_DIMS[t5] = 16
        for name, config, build in (
            ("state_dict.bin", lm_config(t5, dim, layers, heads, card), builders.get_lm_model),
            ("compression_state_dict.bin", codec_config(card), builders.get_compression_model),
        ):
            cfg = OmegaConf.create(config)
            model = build(cfg)
            torch.save({"best_state": model.state_dict(), "xp.cfg": OmegaConf.to_yaml(cfg)}, folder / name)
    return folder
