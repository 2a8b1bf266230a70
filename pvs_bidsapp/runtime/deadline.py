"""The time by which work has to end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


class TimeUp(Exception):
    """Work ended early because its time is over."""


@dataclass(frozen=True)
class Deadline:
    """A moment on the clock that is never set, and that all processes of a machine share.

    To look at it takes less than a microsecond, so that it may be asked after every step.

    Attributes
    ----------
    end : float
        In seconds of ``time.monotonic``; infinite if there is no limit.
    """

    end: float = math.inf

    @classmethod
    def after(cls, minutes: float | None, started: float | None = None) -> Deadline:
        """The moment after some time.

        Parameters
        ----------
        minutes : float or None
            None for no limit.
        started : float, optional
            From when they are counted, by ``time.monotonic``; default: now.
        """
        if minutes is None:
            return cls()
        return cls((time.monotonic() if started is None else started) + 60 * minutes)

    @property
    def seconds_left(self) -> float:
        """Seconds until then, at least 0."""
        return max(0.0, self.end - time.monotonic())

    def is_over(self, margin: float = 0.0) -> bool:
        """Whether less than `margin` seconds are left."""
        return self.end < math.inf and time.monotonic() + margin >= self.end

    def check(self) -> None:
        """Raise `TimeUp` if the time is over."""
        if self.is_over():
            raise TimeUp

    def part(self, fraction: float) -> Deadline:
        """The moment at which this fraction of the time that is left now is over."""
        if self.end == math.inf:
            return self
        return Deadline(time.monotonic() + fraction * self.seconds_left)

    def paced(self) -> Callable[[], bool]:
        """Make a function that says between pieces of work whether one more like the last is too late."""
        last = time.monotonic()

        def is_too_late() -> bool:
            nonlocal last
            now = time.monotonic()
            seconds, last = now - last, now
            return self.is_over(seconds)

        return is_too_late
