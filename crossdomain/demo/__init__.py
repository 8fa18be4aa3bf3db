"""A synthetic world of two domains, written as landing files with its truth beside it."""
