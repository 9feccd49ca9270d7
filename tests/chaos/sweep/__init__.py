"""The sweep: every failpoint, at every kind of step, before and after, with everything that can be done there.

    python -m tests.chaos.sweep --seed 7 --only settle_steps --jobs 12 --json

A case is a run on real processes of its own, one of which breaks at a named operation. It passes when the process has
broken there, the run has ended as promised, no invariant is violated, no effect happened twice, and whoever is left of
the fleet does another run as if nothing had happened.
"""
