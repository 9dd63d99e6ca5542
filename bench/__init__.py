"""Benchmarks of flaxnoise and its baselines.

``contenders`` is the table of functions, ``expectations`` says what each must compute, ``suites``
yields the rows that are timed. ``measure`` builds, checks and times them; ``check`` compares their
results with the expectations. A new function is a row in ``contenders.OURS`` and one in
``expectations.EXPECTATIONS``; a new suite is a generator of rows and an entry in ``suites.SUITES``.
``python -m bench --help`` lists the commands.
"""
