"""The formats in which SAEs are published: what each calls its weights, and what it leaves to be folded into them."""
