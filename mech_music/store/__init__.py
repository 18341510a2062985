"""The row store: every clip's outcome, addressed by what decides the clip.

`python -m mech_music.store` shows, verifies, compacts and prunes it.
"""

from mech_music.store.rows import Outcome, Store

__all__ = ["Outcome", "Store"]
