"""A process of the fleet whose wall clock is wrong: ``python -m tests.chaos.wrong_clock SECONDS|jumping KIND``.

Every reader of the wall clock in the process is led astray, those who imported the function itself included. Its
monotonic clock is right, as it is on a machine whose clock is set wrongly.
"""

import datetime as dt
import runpy
import sys
import time

from tests.zygote import HEAVY

DAY = 86_400.0
REAL_TIME, REAL_TIME_NS, REAL_DATETIME = time.time, time.time_ns, dt.datetime


def shift(how: str) -> float:
    """By how many seconds the clock is wrong right now; a jumping one is a day ahead and a day late in turn."""
    return DAY * (-1) ** int(time.monotonic() * 4) if how == "jumping" else float(how)


def mislead(how: str) -> None:
    """Replace every reader, wherever it has been imported to."""

    class Kind(type(REAL_DATETIME)):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, REAL_DATETIME)

    class Shifted(REAL_DATETIME, metaclass=Kind):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return REAL_DATETIME.now(tz) + dt.timedelta(seconds=shift(how))

        @classmethod
        def utcnow(cls) -> dt.datetime:
            return cls.now(dt.UTC).replace(tzinfo=None)

    wrong = {
        REAL_TIME: lambda: REAL_TIME() + shift(how),
        REAL_TIME_NS: lambda: REAL_TIME_NS() + int(shift(how) * 1e9),
        REAL_DATETIME: Shifted,
    }
    for module in list(sys.modules.values()):
        if module is not sys.modules[__name__]:
            for name, value in list(vars(module).items()):
                if any(value is real for real in wrong):
                    setattr(module, name, wrong[value])


if __name__ == "__main__":
    _, asked, kind = sys.argv
    for name in HEAVY:
        __import__(name)
    mislead(asked)
    sys.argv = [kind]
    runpy.run_module(kind, run_name="__main__")
