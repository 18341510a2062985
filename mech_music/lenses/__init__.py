"""Reading tokens off the middle of the model: the DecoderLens, and the tuned lens that translates first."""
