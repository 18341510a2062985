"""A second judge that never saw the models: plain librosa features and scikit-learn's extremely randomised trees.

A model's own classifier can flatter it; this one shares neither its weights, its features nor its kind.
"""

import librosa
import numpy as np
from jaxtyping import Float, Int
from sklearn.ensemble import ExtraTreesClassifier

from mech_music.tiny.synth import SAMPLE_RATE


def _describe(audio: Float[np.ndarray, " sample"]) -> Float[np.ndarray, " feature"]:
    """Means, spreads and high values of timbre features over time, and the autocorrelation of onsets."""
    magnitude = np.abs(librosa.stft(audio, n_fft=1024, hop_length=320))
    mel = librosa.feature.melspectrogram(S=magnitude**2, sr=SAMPLE_RATE, n_mels=40)
    level = librosa.power_to_db(mel, ref=1.0, amin=1e-6)
    rows = np.vstack([
        librosa.feature.mfcc(S=level, n_mfcc=20),
        librosa.feature.spectral_contrast(S=magnitude, sr=SAMPLE_RATE, n_bands=5),
        librosa.feature.spectral_centroid(S=magnitude, sr=SAMPLE_RATE),
        librosa.feature.spectral_flatness(S=magnitude),
        librosa.feature.spectral_rolloff(S=magnitude, sr=SAMPLE_RATE),
        librosa.feature.rms(S=magnitude, frame_length=1024),
        level,
    ])  # fmt: skip
    rise = np.maximum(0.0, np.diff(level, axis=1))
    onsets = rise.mean(0) - rise.mean()
    beats = np.correlate(onsets, onsets, "full")[len(onsets) - 1 :][:80]
    spread = [rows.mean(1), rows.std(1), np.percentile(rows, 90, axis=1), np.abs(np.diff(rows, axis=1)).mean(1)]
    return np.concatenate([*spread, beats / (beats[0] + 1e-9)])


def describe(audio: Float[np.ndarray, "clip sample"]) -> Float[np.ndarray, "clip feature"]:
    """Features of clips at 16 kHz."""
    return np.stack([_describe(clip) for clip in audio])


class Judge:
    """One forest for each group of attributes."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.forests: dict[str, ExtraTreesClassifier] = {}

    def fit(self, features: Float[np.ndarray, "clip feature"], classes: dict[str, Int[np.ndarray, " clip"]]) -> "Judge":
        """Learn every group's classes from features."""
        for group, wanted in classes.items():
            forest = ExtraTreesClassifier(400, random_state=self.seed, max_features="sqrt")
            self.forests[group] = forest.fit(features, wanted)
        return self

    def hear(self, features: Float[np.ndarray, "clip feature"]) -> dict[str, Int[np.ndarray, " clip"]]:
        """The class heard in each clip, by group."""
        return {group: forest.predict(features) for group, forest in self.forests.items()}
