"""musicgen-tiny-long: a MusicGen of 25.6 s, trained on pieces of which it is known what returns."""
