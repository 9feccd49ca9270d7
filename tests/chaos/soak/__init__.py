"""The chaos soak: a fleet of real processes under load, a nemesis that breaks it, a history, and a checker of it.

``python -m tests.chaos.soak --seconds 120 --seed 7``; the modules, in the order in which they are worth reading:
``faults`` (the table), ``nemesis``, ``load`` and ``agents`` (what runs meanwhile), ``supervisor``, ``play`` (all of it
together), ``tests.chaos.checker``, ``recovery``, ``table``.
"""
