"""Pieces of which it is known where the music returns: planted ones, reviewed recordings, POP909."""
