"""Sparse autoencoders: dictionaries of features at a hook. Used, read and written, trained, evaluated."""
