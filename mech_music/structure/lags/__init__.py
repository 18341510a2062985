"""How many bars and semitones back the heads of a symbolic model look: `python -m mech_music.structure.lags`."""
