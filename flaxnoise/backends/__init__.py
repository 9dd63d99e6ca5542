"""Backends that compute the affine formula, one folder each; their contract, and dispatch."""
