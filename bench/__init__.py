"""How fast flaxnoise and its baselines are: what is measured, how, and what was found.

``contenders`` is the table of functions, ``expectations`` what each must compute, ``suites`` the
rows. ``measure`` is the one loop that builds, checks and times; ``check`` the one that compares.
A new function is a row in ``contenders.OURS`` and one in ``expectations.EXPECTATIONS``; a new suite
is a generator of rows and an entry of ``suites.SUITES``. ``python -m bench --help`` has the
commands.
"""
