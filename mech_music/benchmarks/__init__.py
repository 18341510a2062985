"""Benchmarks: `python -m mech_music.benchmarks` (or `make bench`) prints and saves one table of ratios.

In every comparison the sides take turns in the same process, so that a machine that slows down slows both.
"""
