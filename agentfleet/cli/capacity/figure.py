"""A number on the command line that can be reckoned with."""

from math import isfinite
from typing import Any

import click


class Figure(click.FloatRange):
    """A number in a range, at most ``MOST`` unless it says less; `nan` and `inf`, which pass any range, are refused."""

    MOST = 1e12

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        if not isfinite(number) or number > self.MOST:
            self.fail(f"{value!r} is not a number of at most {self.MOST:g}.", param, ctx)
        return number


POSITIVE = Figure(min=0, min_open=True)
"""More than 0."""
ANY = Figure(min=0)
"""0 or more."""
