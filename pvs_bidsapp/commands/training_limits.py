"""What may end a training early: a stop request, and its time limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..runtime.deadline import Deadline
from ..runtime.signals import Stopped


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Called between pieces of work: whether a stop was requested. When the time is over, it raises `TimeUp`.

    Attributes
    ----------
    stop : callable
        Whether a stop was requested.
    deadline : Deadline
    """

    stop: Callable[[], bool] = lambda: False
    deadline: Deadline = field(default_factory=Deadline)

    def __call__(self) -> bool:
        """Whether a stop was requested.

        Raises
        ------
        TimeUp
            If the time is over, and no stop was requested.
        """
        if self.stop():
            return True
        self.deadline.check()
        return False

    def check(self) -> None:
        """End the work if it has to end.

        Raises
        ------
        Stopped
            If a stop was requested.
        TimeUp
            If the time is over.
        """
        if self():
            raise Stopped

    def part(self, fraction: float) -> Limits:
        """These limits with a fraction of the time that is left."""
        return replace(self, deadline=self.deadline.part(fraction))
