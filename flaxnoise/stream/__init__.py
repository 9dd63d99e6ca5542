"""The stream: which random number belongs to element i of an array."""
