"""musicgen-tiny: a MusicGen at 1/200 scale, trained on synthesised music whose concepts are known."""
