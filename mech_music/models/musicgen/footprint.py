"""What a MusicGen takes of memory, computed from its shape alone: nothing is loaded, not even audiocraft.

Counts are exact for weights and caches. What a pass takes beside its caches (activations, logits, the
allocator's losses) is not in them: `mech_music.engine.capacity` leaves a quarter of the free memory for it,
and measures on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

SHARE = 0.75
"""Of the memory that is free once everything is loaded: what passes may take."""
WIDE = 1024
"""Layers from this width on (musicgen-small's) are kept twice on a CPU: see `mech_music.models.musicgen.linear`."""
PROMPT_TOKENS = 32  # of the study's prompts, T5 makes 24 to 32
_SIZES = {"float32": 4, "float16": 2, "bfloat16": 2}
_T5_WIDTH = 768
_CHROMA = 12  # pitch classes

# Parameters beside the language model, always in float32: T5-base's encoder, encodec_32khz, PaSST.
T5_PARAMETERS = 109_628_544
CODEC_PARAMETERS = 58_990_022
CODEC_SHAPE = {
    "target_bandwidths": [2.2], "sampling_rate": 32_000, "num_filters": 64, "upsampling_ratios": [8, 5, 4, 4],
    "codebook_size": 2048, "codebook_dim": 128, "hidden_size": 128, "use_causal_conv": False,
    "use_conv_shortcut": False,
}  # fmt: skip
"""Of encodec_32khz, in the words of transformers' config."""
PASST_PARAMETERS = 86_153_759


def gigabytes(count: float) -> str:
    """Bytes for people: ``1.7 GB`` (10⁹ bytes)."""
    return f"{count / 1e9:.1f} GB"


@dataclass(frozen=True)
class Footprint:
    """The shape of a MusicGen's language model: everything that its memory depends on.

    ``melody``: positions that stand before text and music, also where no melody is given; such a model has no
    cross-attention. 0 for one that attends to its text.
    """

    layers: int
    d_model: int
    codebooks: int = 4
    card: int = 2048
    hidden_scale: int = 4
    text_width: int = _T5_WIDTH
    melody: int = 0

    @classmethod
    def of_config(cls, config: DictConfig) -> Footprint:
        """From a checkpoint's ``xp.cfg``."""
        lm = config.transformer_lm
        return cls(lm.num_layers, lm.dim, lm.n_q, lm.card, lm.hidden_scale, melody=_melody_frames(config))

    @property
    def transformer_parameters(self) -> int:
        """Self-attention and cross-attention (4 d² each), the MLP, and a layer norm before each, in every layer."""
        return self._transformer_matrices + self.layers * 2 * (self._attentions + 1) * self.d_model

    @property
    def _transformer_matrices(self) -> int:
        return self.layers * (4 * self._attentions + 2 * self.hidden_scale) * self.d_model**2

    @property
    def _attentions(self) -> int:
        return 1 if self.melody else 2

    @property
    def parameters(self) -> int:
        """Of the language model, as a checkpoint holds it: embeddings, heads and its conditions' projections too."""
        d = self.d_model
        ends = self.codebooks * (2 * self.card + 1) * d + 2 * d
        conditions = self.text_width + 1 + (_CHROMA + 1 if self.melody else 0)
        return self.transformer_parameters + ends + conditions * d

    def weight_bytes(self, dtype: str) -> int:
        """Of the language model once it is loaded: in float16, audiocraft keeps all but the transformer in float32."""
        rest = self.parameters - self.transformer_parameters
        return _SIZES[dtype] * self.transformer_parameters + rest * (2 if dtype == "bfloat16" else 4)

    def arranged_bytes(self, dtype: str) -> int:
        """The second copy that a CPU makes of wide layers' weights when they are first used."""
        if self.d_model < WIDE or dtype == "float16":
            return 0
        heads = self.codebooks * self.card * self.d_model if self.card >= WIDE else 0
        return _SIZES[dtype] * (self._transformer_matrices + heads)

    def row_bytes(self, steps: int, dtype: str, prompt_tokens: int = PROMPT_TOKENS) -> int:
        """Keys and values of one row, of all attention, in both halves of guidance."""
        return 2 * 2 * self.layers * (steps + prompt_tokens + self.melody) * self.d_model * _SIZES[dtype]

    def rows(self, memory: float, steps: int, dtype: str, on_cpu: bool = False) -> int:
        """Rows of a pass on a device with so many bytes; 0 if not even the weights fit."""
        others = 4 * (T5_PARAMETERS + CODEC_PARAMETERS + PASST_PARAMETERS)
        left = memory - self.weight_bytes(dtype) - self.arranged_bytes(dtype) * on_cpu - others
        return max(0, int(SHARE * left / self.row_bytes(steps, dtype)))


def _melody_frames(config: DictConfig) -> int:
    """Of melody's chromagram: a training segment's, or one window's where a checkpoint does not fill it up."""
    if "self_wav" not in config.conditioners:
        return 0
    melody = config.conditioners.self_wav.chroma_stem
    hop = 2**melody.radix2_exp // 4
    filled = "match_len_on_eval" not in melody or melody.match_len_on_eval
    return 1 + (int(config.dataset.segment_duration * melody.sample_rate) // hop if filled else 4)


PUBLISHED = {
    "small": Footprint(24, 1024),
    "medium": Footprint(48, 1536),
    "large": Footprint(48, 2048),
    "stereo-small": Footprint(24, 1024, codebooks=8),
    "stereo-medium": Footprint(48, 1536, codebooks=8),
    "stereo-large": Footprint(48, 2048, codebooks=8),
    "melody": Footprint(48, 1536, melody=235),
    "melody-large": Footprint(48, 2048, melody=235),
    "stereo-melody": Footprint(48, 1536, codebooks=8, melody=235),
    "stereo-melody-large": Footprint(48, 2048, codebooks=8, melody=235),
}
"""The language models of ``facebook/musicgen-<name>``."""
