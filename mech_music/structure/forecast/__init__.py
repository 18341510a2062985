"""Whether a return is announced: rows, what is read at them, probes with their controls, scores."""
