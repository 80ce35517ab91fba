"""What a check finds: one step of it, in words for a person."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Result(StrEnum):
    """`unknown` is no failure: the step can't be told, and none guesses."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


Action = Literal["", "edit", "connect", "connections", "console"]
"""Where a mend is made: the link's form, its *Connect*, its connections, or the provider's console."""


@dataclass(frozen=True)
class Finding:
    """One step: its key, what it is about, how it ended and why; `mend` says what to do, and `action` where.

    `exchange` is what was asked and answered, without any secret. `label` is that of the connection it is about.
    """

    key: str
    title: str
    result: Result
    cause: str
    mend: str = ""
    action: Action = ""
    exchange: tuple[str, ...] = ()
    label: str = ""


def worst(findings: list[Finding]) -> Result:
    """How a check ended as a whole."""
    results = {finding.result for finding in findings}
    return next((result for result in (Result.FAILED, Result.WARNED) if result in results), Result.PASSED)
