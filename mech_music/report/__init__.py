"""The HTML report of a run: ``python -m mech_music.report <folder>``."""

from mech_music.results import finish_sweep as finish_sweep  # the launcher still imports it from here
