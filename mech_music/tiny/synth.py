"""Music whose mood, genre, instrument and tempo are known: a small deterministic synthesiser.

Every onset falls on a codec frame (640 samples at 16 kHz) and every note starts in the same phase, so equal music is
equal audio and hence equal codes: what is left to learn is the music, not its noise. Plucked strings follow Karplus and
Strong (Computer Music Journal 7(2), 1983), with the fractional delay of Jaffe and Smith (same issue).
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.signal import butter, lfilter, sosfilt

from mech_music.tiny import score

SAMPLE_RATE = 16_000
FRAME = 640
CLIP_SAMPLES = 64_000

Audio = Float[ndarray, " sample"]


def _time(samples: int) -> Audio:
    return np.arange(samples) / SAMPLE_RATE


def _filter(numerator: list[float], denominator: Audio | list[float], audio: Audio) -> Audio:
    """SciPy's recursive filter, from rest."""
    return np.asarray(lfilter(numerator, denominator, audio))


def _frequency(midi: int) -> float:
    return 440.0 * 2.0 ** ((midi - 69) / 12)


def _release(audio: Audio, seconds: float = 0.03) -> Audio:
    """The note with its end faded out, so that it stops without a click."""
    fade = min(len(audio), int(seconds * SAMPLE_RATE))
    audio = audio.copy()
    audio[len(audio) - fade :] *= np.linspace(1.0, 0.0, fade)
    return audio


def _partials(
    phase: Audio, frequency: float, amplitudes: Float[ndarray, " partial"], stretch: float = 0.0
) -> list[Audio]:
    """Sines at k·phase·√(1 + stretch·k²) below 7.2 kHz, weighted; `phase` is that of the fundamental, in radians."""
    waves = []
    for k, amplitude in enumerate(amplitudes, start=1):
        ratio = k * np.sqrt(1.0 + stretch * k * k)
        if frequency * ratio < 7200.0:
            waves.append(amplitude * np.sin(ratio * phase))
    return waves


def _string(frequency: float, samples: int, brightness: float, decay: float) -> Audio:
    """Karplus–Strong as one recursive filter: a noise burst in a delay line with a two-point average and all-pass."""
    period = SAMPLE_RATE / frequency - 0.5
    whole = int(period - 0.1)
    offset = period - whole
    allpass = (1.0 - offset) / (1.0 + offset)
    burst = np.random.default_rng(7).uniform(-1.0, 1.0, whole)
    burst = _filter([1.0 - brightness], [1.0, -brightness], burst)
    excitation = np.zeros(samples)
    excitation[: min(whole, samples)] = (burst - burst.mean())[:samples]
    # 1 / (1 - g z^-N (1 + z^-1)/2 (a + z^-1)/(1 + a z^-1)), multiplied out.
    denominator = np.zeros(whole + 3)
    denominator[0], denominator[1] = 1.0, allpass
    gain = decay ** (1.0 / frequency) / 2.0
    denominator[whole : whole + 3] -= gain * np.array([allpass, 1.0 + allpass, 1.0])
    return _filter([1.0, allpass], denominator, excitation)


def _guitar(frequency: float, samples: int) -> Audio:
    return 3.4 * _string(frequency, samples, brightness=0.35, decay=0.05)


def _piano(frequency: float, samples: int) -> Audio:
    t = _time(samples)
    phase = 2 * np.pi * frequency * t
    strengths = 0.75 ** np.arange(14) * (1.0 + 0.3 * np.cos(np.arange(14) * 2.1))
    waves = _partials(phase, frequency, strengths, stretch=4e-4)
    audio = sum((w * np.exp(-t * (1.6 + 0.9 * k)) for k, w in enumerate(waves)), np.zeros(samples))
    hammer = np.random.default_rng(3).standard_normal(samples) * np.exp(-t * 250.0)
    return 0.5 * (audio * (1.0 - np.exp(-t * 900.0)) + 0.25 * hammer)


def _trumpet(frequency: float, samples: int) -> Audio:
    t = _time(samples)
    attack = np.minimum(1.0, t / 0.05)
    envelope = attack * (0.75 + 0.45 * np.exp(-t * 9.0))
    phase = 2 * np.pi * frequency * t
    # Brightness follows the envelope (Risset): partial k is raised to a power that grows with k.
    waves = _partials(phase, frequency, 0.95 ** np.arange(16))
    audio = sum((w * envelope ** (1.0 + 0.55 * k) for k, w in enumerate(waves)), np.zeros(samples))
    return 0.17 * audio


def _violin(frequency: float, samples: int) -> Audio:
    t = _time(samples)
    vibrato = 0.011 * np.minimum(1.0, t / 0.25)
    bend = np.cumsum(frequency * (1.0 + vibrato * np.sin(2 * np.pi * 6.25 * t))) / SAMPLE_RATE
    k = np.arange(1, 25)
    # Body resonances of a violin near 450, 1100 and 2800 Hz.
    body = sum(np.exp(-((np.log(frequency * k / peak)) ** 2) / 0.12) for peak in (450.0, 1100.0, 2800.0))
    audio = sum(_partials(2 * np.pi * bend, frequency, (0.35 + body) / k), np.zeros(samples))
    bow = np.random.default_rng(5).standard_normal(samples)
    bow = _filter([1.0, -0.95], [1.0], bow) * 0.02
    return 0.45 * (audio + bow) * (1.0 - np.exp(-t * 14.0))


def _flute(frequency: float, samples: int) -> Audio:
    t = _time(samples)
    tremolo = 1.0 + 0.2 * np.sin(2 * np.pi * 5.0 * t)
    phase = 2 * np.pi * frequency * t
    audio = sum(_partials(phase, frequency, np.array([1.0, 0.18, 0.06])), np.zeros(samples))
    low, high = min(frequency * 2.5, 5000.0), 7000.0
    breath = sosfilt(
        butter(2, [low, high], "band", fs=SAMPLE_RATE, output="sos"), np.random.default_rng(11).standard_normal(samples)
    )
    chiff = 0.06 + 0.45 * np.exp(-t * 25.0)
    return 0.7 * (audio * tremolo + breath * chiff) * np.minimum(1.0, t / 0.06)


def _bass(frequency: float, samples: int) -> Audio:
    t = _time(samples)
    waves = _partials(2 * np.pi * frequency * t, frequency, np.array([1.0, 0.6, 0.35, 0.15]))
    return 0.7 * sum(waves, np.zeros(samples)) * np.exp(-t * 3.0) * np.minimum(1.0, t / 0.004)


def _sub(frequency: float, samples: int) -> Audio:
    t = _time(samples)
    glide = np.cumsum(frequency * (1.0 + 1.5 * np.exp(-t * 40.0))) / SAMPLE_RATE
    return np.tanh(2.0 * np.sin(2 * np.pi * glide)) * np.exp(-t * 1.8)


def _pad(frequency: float, samples: int) -> Audio:
    t = _time(samples)
    waves = _partials(2 * np.pi * frequency * t, frequency, np.array([1.0, 0.5, 0.25, 0.12, 0.06]))
    return 0.4 * sum(waves, np.zeros(samples)) * np.minimum(1.0, t / 0.08)


def _saw(frequency: float, samples: int) -> Audio:
    t = _time(samples)
    audio = np.zeros(samples)
    for detune in (0.994, 1.0, 1.006):
        waves = _partials(2 * np.pi * frequency * detune * t, frequency, 1.0 / np.arange(1, 25))
        audio += sum(waves, np.zeros(samples))
    return 0.3 * audio


def _power(frequency: float, samples: int) -> Audio:
    """A distorted chord of root, fifth and octave: three strings into a hard clipper."""
    strings = [_string(frequency * ratio, samples, 0.2, 0.3) for ratio in (1.0, 1.5, 2.0)]
    clipped = np.tanh(14.0 * sum(strings, np.zeros(samples)))
    return 0.5 * _filter([0.45], [1.0, -0.55], clipped)


def _pizzicato(frequency: float, samples: int) -> Audio:
    return 1.8 * _string(frequency, samples, brightness=0.75, decay=0.0004)


def _electric_piano(frequency: float, samples: int) -> Audio:
    t = _time(samples)
    index = 1.6 * np.exp(-t * 6.0)
    return 0.5 * np.sin(2 * np.pi * frequency * t + index * np.sin(2 * np.pi * frequency * t)) * np.exp(-t * 2.5)


_VOICES = {
    "guitar": _guitar, "piano": _piano, "trumpet": _trumpet, "violin": _violin, "flute": _flute,
    "bass": _bass, "sub": _sub, "pad": _pad, "saw": _saw, "power": _power, "pizzicato": _pizzicato,
    "electric piano": _electric_piano,
}  # fmt: skip


def _noise(samples: int, seed: int, band: tuple[float, float]) -> Audio:
    sos = butter(2, band, "band", fs=SAMPLE_RATE, output="sos")
    return np.asarray(sosfilt(sos, np.random.default_rng(seed).standard_normal(samples)))


@cache
def drum(name: str) -> Audio:
    """One hit of a drum, always the same samples."""
    t = _time(10 * FRAME)
    if name == "kick":
        sweep = np.cumsum(48.0 + 130.0 * np.exp(-t * 35.0)) / SAMPLE_RATE
        return _release(1.1 * np.sin(2 * np.pi * sweep) * np.exp(-t * 9.0))
    if name == "snare":
        rattle = _noise(len(t), 1, (1200.0, 7000.0)) * np.exp(-t * 18.0)
        return _release(1.2 * rattle + 0.5 * np.sin(2 * np.pi * 190.0 * t) * np.exp(-t * 25.0))
    if name == "clap":
        return _release(1.8 * _noise(len(t), 2, (900.0, 2600.0)) * np.exp(-t * 22.0))
    if name == "hat":
        return _release(0.7 * _noise(len(t), 3, (5500.0, 7800.0)) * np.exp(-t * 60.0))
    if name == "open hat":
        return _release(0.8 * _noise(len(t), 4, (5000.0, 7800.0)) * np.exp(-t * 13.0))
    if name == "ride":
        ping = sum(np.sin(2 * np.pi * f * t) for f in (3171.0, 4277.0, 5519.0, 6353.0)) * 0.12
        return _release((ping + 0.25 * _noise(len(t), 6, (4000.0, 7800.0))) * np.exp(-t * 12.0))
    raise ValueError(f"unknown drum {name!r}")


@lru_cache(maxsize=20_000)
def note(voice: str, midi: int, frames: int) -> Float[ndarray, " sample"]:
    """One note of `voice` at MIDI pitch `midi`, `frames` codec frames long (float32, about ±1)."""
    return _release(_VOICES[voice](_frequency(midi), frames * FRAME)).astype(np.float32)


def _mix(audio: Audio, sound: Audio, frame: int, gain: float) -> None:
    start = frame * FRAME
    part = sound[: max(0, CLIP_SAMPLES - start)]
    audio[start : start + len(part)] += gain * part


@dataclass(frozen=True)
class Clip:
    """What a clip is of; `seed` chooses key and melody and nothing else."""

    mood: str
    genre: str
    instrument: str
    tempo: str
    seed: int


def render(clip: Clip) -> Float[ndarray, " sample"]:
    """Four seconds of mono audio at 16 kHz, within ±1. Raises KeyError for a word that the score does not know."""
    audio = np.zeros(CLIP_SAMPLES)
    for event in score.compose(clip.mood, clip.genre, clip.instrument, clip.tempo, clip.seed):
        sound = drum(event.voice) if event.midi is None else note(event.voice, event.midi, event.frames)
        _mix(audio, sound, event.frame, event.gain)
    swell = np.repeat(score.swell(clip.mood), FRAME)
    return np.tanh(0.55 * swell * audio).astype(np.float32)
