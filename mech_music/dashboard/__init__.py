"""A sweep's W&B workspace and report, as code: ``python -m mech_music.dashboard``."""
