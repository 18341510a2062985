"""The two places of a pair as a page shows them: to be heard, and to be seen beside each other."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from jaxtyping import Float32

from mech_music.report.sound import compressed, picture
from mech_music.structure.pieces.manifest import Recording
from mech_music.structure.proposals.descriptors import Described, describe
from mech_music.structure.proposals.proposals import Proposal
from mech_music.structure.proposals.segments import cut

PLACES = ("first", "second")
_STEPS = 120  # columns of the picture of pitches


def sound(recording: Recording, place: tuple[float, float]) -> tuple[str, bytes]:
    """A place's MIME type and content, at the recording's own sample rate."""
    _, mime, content = compressed(*_audio(recording, place))
    return mime, content


def spectrogram(recording: Recording, place: tuple[float, float]) -> bytes:
    """A place's mel spectrogram, a PNG."""
    return picture(*_audio(recording, place))


def pitches(recording: Recording, proposal: Proposal, which: str) -> bytes:
    """A place's pitch classes, a PNG: time to the right, the melody above the harmony, C at the bottom of each. The
    second place is transposed back, so that what returns looks the same."""
    from matplotlib import colormaps
    from PIL import Image

    place = proposal.first if which == "first" else proposal.second
    described = _described(recording, place)
    segments = cut([described], [np.array([[0.0, described.seconds]])], _STEPS, centred=False)
    shift = 0 if which == "first" else -proposal.semitones
    halves = [np.roll(values[0], shift, axis=1).T[::-1] for values in (segments.melody, segments.chroma)]
    gap = np.zeros((1, _STEPS), np.float32)
    shades = (np.concatenate([halves[0], gap, halves[1]]).clip(0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(shades)
    image.putpalette((colormaps["magma"](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8).tobytes())
    content = io.BytesIO()
    image.save(content, format="PNG", optimize=True)
    return content.getvalue()


@lru_cache(maxsize=64)
def _audio(recording: Recording, place: tuple[float, float]) -> tuple[Float32[np.ndarray, " sample"], int]:
    return recording.sound(*place)


@lru_cache(maxsize=64)
def _described(recording: Recording, place: tuple[float, float]) -> Described:
    return describe(*_audio(recording, place))
