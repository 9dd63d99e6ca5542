"""The parts of the demo: each prints a table and saves a picture."""
