"""What is played: from mood, genre, instrument, tempo and a seed to a list of notes and drum hits.

Mood is mode, rhythm, register and dynamics of the melody; genre is the accompaniment; instrument plays the melody;
tempo is the beat. Beats last a whole number of codec frames (25 a second) and no tempo is twice another one, so that
neither a half nor a double beat can pass for a different tempo.
"""

from dataclasses import dataclass
from random import Random

import numpy as np
from jaxtyping import Float

CLIP_FRAMES = 100
KEYS = (57, 60)
BEAT_FRAMES = {"slow": 30, "slow to medium": 22, "medium": 16, "medium to fast": 12, "fast": 10}
# "electronic" fills the genre slot of prompts and is not a concept of its own: it is the music of EDM.
STYLE_OF = {"electronic": "EDM"}


@dataclass(frozen=True)
class Event:
    """A sound that begins at a codec frame: a note (`midi`, `frames` long) or a drum hit (`midi` None)."""

    frame: int
    voice: str
    gain: float
    midi: int | None = None
    frames: int = 0


@dataclass(frozen=True)
class Mood:
    """How a mood is played. `rhythm`: (onset, length, louder) in beats, repeated every two beats."""

    scale: tuple[int, ...]
    progression: tuple[int, ...]
    rhythm: tuple[tuple[float, float, float], ...]
    transpose: int
    octaves: bool
    swell: tuple[float, float]


_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
_HARMONIC, _MIXOLYDIAN = (0, 2, 3, 5, 7, 8, 11), (0, 2, 4, 5, 7, 9, 10)

MOODS = {
    "emotional": Mood(_MINOR, (0, 5, 3, 4), ((0, 1, 1.0), (1, 1, 0.9)), 0, False, (0.35, 0.75)),
    "passionate": Mood(_HARMONIC, (0, 3, 4, 0), ((0, 1.5, 1.0), (1.5, 0.5, 0.8)), 0, True, (1.3, 0.9)),
    "groovy": Mood(
        _MIXOLYDIAN, (0, 6, 3, 0), ((0.5, 0.25, 1.1), (1, 0.25, 0.8), (1.5, 0.5, 1.1)), 0, False, (0.9, 0.9)
    ),
    "energetic": Mood(_MAJOR, (0, 4, 5, 3), tuple((k / 2, 0.5, 1.1) for k in range(4)), 12, False, (1.25, 1.25)),
    "happy": Mood(_MAJOR, (0, 3, 4, 0), ((0, 0.4, 1.0), (1, 0.4, 1.0), (1.5, 0.4, 0.8)), 7, False, (0.8, 0.8)),
}


def swell(mood: str) -> Float[np.ndarray, " frame"]:
    """The loudness of a mood, frame by frame."""
    first, last = MOODS[mood].swell
    return np.linspace(first, last, CLIP_FRAMES)


class _Harmony:
    """The chord of every two beats, in a key and mode."""

    def __init__(self, mood: Mood, key: int) -> None:
        self.mood, self.key = mood, key

    def degree(self, step: int) -> int:
        """MIDI pitch of scale step `step` (0 the tonic, 7 its octave)."""
        octave, index = divmod(step, 7)
        return self.key + 12 * octave + self.mood.scale[index]

    def chord(self, beat: int, size: int = 3) -> list[int]:
        """Root-position chord in thirds at `beat`, folded into the octave above the key."""
        root = self.mood.progression[beat // 2 % len(self.mood.progression)]
        pitches = [self.degree(root + 2 * k) for k in range(size)]
        return [self.key + (pitch - self.key) % 12 for pitch in pitches]

    def bass(self, beat: int) -> int:
        return 33 + (self.chord(beat)[0] - 33) % 12


class _Accompaniment:
    """One genre's pattern for one beat after another; times and lengths in beats."""

    def __init__(self, harmony: _Harmony, period: int) -> None:
        self.harmony, self.period, self.events = harmony, period, []

    def hit(self, voice: str, time: float, gain: float) -> None:
        self.events.append(Event(round(time * self.period), voice, gain))

    def play(self, voice: str, midi: int, time: float, length: float, gain: float) -> None:
        frames = max(2, round(length * self.period))
        self.events.append(Event(round(time * self.period), voice, gain, midi, frames))

    def rock(self, beat: int) -> None:
        self.play("power", self.harmony.bass(beat) + 12, beat, 1.0, 0.26)
        self.play("bass", self.harmony.bass(beat), beat, 1.0, 0.3)
        self.hit("kick" if beat % 2 == 0 else "snare", beat, 0.8)
        self.hit("hat", beat, 0.35)
        self.hit("hat", beat + 0.5, 0.2)

    def pop(self, beat: int) -> None:
        if beat % 2 == 0:
            for pitch in self.harmony.chord(beat):
                self.play("pad", pitch - 12, beat, 2.0, 0.22)
        self.play("bass", self.harmony.bass(beat), beat, 0.9, 0.4)
        self.hit("kick" if beat % 2 == 0 else "clap", beat, 0.7)

    def jazz(self, beat: int) -> None:
        walk = self.harmony.chord(beat)[0 if beat % 2 == 0 else 2]
        self.play("bass", 33 + (walk - 33) % 12, beat, 0.95, 0.75)
        self.hit("ride", beat, 0.4)
        if beat % 2 == 1:
            self.hit("ride", beat + 2 / 3, 0.25)
            for pitch in self.harmony.chord(beat, 4)[1:]:
                self.play("electric piano", pitch, beat - 1 + 2 / 3, 0.6, 0.2)

    def classical(self, beat: int) -> None:
        root, third, fifth = self.harmony.chord(beat)
        if beat % 2 == 0:
            self.play("pad", self.harmony.bass(beat) + 12, beat, 2.0, 0.3)
        self.play("pizzicato", root - 12, beat, 1.0, 0.85)
        self.play("pizzicato", (third if beat % 2 == 0 else fifth), beat + 0.5, 0.5, 0.4)

    def edm(self, beat: int) -> None:
        self.hit("kick", beat, 0.95)
        self.hit("open hat", beat + 0.5, 0.3)
        for pitch in self.harmony.chord(beat):
            self.play("saw", pitch, beat + 0.5, 0.45, 0.16)

    def hip_hop(self, beat: int) -> None:
        if beat % 2 == 0:
            self.hit("kick", beat, 0.7)
            self.play("sub", self.harmony.bass(beat), beat, 1.9, 0.5)
        else:
            self.hit("snare", beat, 0.75)
        self.hit("hat", beat, 0.4)
        self.hit("hat", beat + 0.5, 0.25)
        self.hit("hat", beat + 0.75, 0.2)


def _melody(random: Random, harmony: _Harmony, mood: Mood, instrument: str, period: int) -> list[Event]:
    """Chord tones chosen at random in the mood's rhythm, never the same one twice running."""
    events: list[Event] = []
    last = None
    for beat in range(0, CLIP_FRAMES // period + 1, 2):
        tones = harmony.chord(beat)
        for onset, length, gain in mood.rhythm:
            pitch = random.choice([tone for tone in tones if tone != last])
            last = pitch
            frame, frames = round((beat + onset) * period), max(3, round(length * period))
            for shift in (0, 12) if mood.octaves else (0,):
                strength = gain * (0.75 if mood.octaves else 1.0)
                events.append(Event(frame, instrument, strength, pitch + mood.transpose + shift, frames))
    return events


def compose(mood: str, genre: str, instrument: str, tempo: str, seed: int) -> list[Event]:
    """All events of a four-second clip, from frame 0 to 99. Raises KeyError for a word not known here."""
    random = Random(seed)
    played, period = MOODS[mood], BEAT_FRAMES[tempo]
    harmony = _Harmony(played, random.choice(KEYS))
    band = _Accompaniment(harmony, period)
    pattern = {
        "rock": band.rock, "pop": band.pop, "jazz": band.jazz, "classical": band.classical,
        "EDM": band.edm, "hip hop": band.hip_hop,
    }[STYLE_OF.get(genre, genre)]  # fmt: skip
    for beat in range(CLIP_FRAMES // period + 1):
        pattern(beat)
    events = band.events + _melody(random, harmony, played, instrument, period)
    return [event for event in events if event.frame < CLIP_FRAMES]
