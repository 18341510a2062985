"""Long-horizon structure: pieces whose returns are known, what announces them, and what carries them."""
