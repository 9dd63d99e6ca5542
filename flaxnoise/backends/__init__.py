"""Ways to compute the formula, and the choice between them."""
