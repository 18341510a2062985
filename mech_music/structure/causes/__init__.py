"""What carries returns: where heads look and what they write, and what is lost without them."""
