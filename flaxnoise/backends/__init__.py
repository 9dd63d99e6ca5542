"""Ways to compute the formula, a folder each, what they have in common, and the choice."""
