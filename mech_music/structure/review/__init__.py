"""A page to listen to proposed returns and to decide what they are, and what became of them."""
