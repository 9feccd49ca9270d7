"""The consume loop's sign of life, left by the transport and read by the watchdog."""


class Pulse:
    """How many pops have ended in this process, empty ones included."""

    pops = 0


PULSE = Pulse()
