"""The HTML report of a run: ``python -m mech_music.report <folder>``."""
