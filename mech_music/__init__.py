"""Mechanistic interpretability of generative music models."""

__version__ = "0.1.0"
