"""Music that people wrote, for symbolic models: read at run time, fitted on the grid, split by piece.

Nothing of it is part of this package. `registry.load` is all that others need.
"""
