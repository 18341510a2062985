"""Can this machine run that model, and if not, what is missing: ``python -m mech_music.doctor``."""
