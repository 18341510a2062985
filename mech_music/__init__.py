"""Mechanistic interpretability of generative music models."""

import os

__version__ = "0.1.0"

# Read when torch is loaded. Threads that wait by spinning make a small model ten times slower as soon as
# anything else runs on the machine; sleeping ones cost next to nothing.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
