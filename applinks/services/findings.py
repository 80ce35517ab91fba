"""What a check finds: one step of it, in words for a person."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal
from urllib.parse import urlsplit

from applinks.oauth.answers import Granted, Refused
from applinks.oauth.client import Answer
from applinks.oauth.probe import Answered, Silence

TITLES = {
    "base_url": "Applinks is reached at its base URL",
    "https": "The Redirect URL is https",
    "redirect_url": "The Redirect URL is one that this provider takes",
    "address": "The provider's name leads to an address that may be called",
    "tls": "The provider's certificate is trusted and lasts",
    "clock": "This machine's clock is right",
    "token_endpoint": "The token endpoint answers as one",
    "credentials": "Client ID and client secret are right",
    "metadata": "The provider's metadata agrees",
    "redirect_url_registered": "The Redirect URL is registered",
    "consent_page": "The provider is ready to ask for consent",
    "scopes": "The provider knows the scopes",
    "offline": "A refresh token is asked for",
    "connection": "The account is connected",
    "refresh_token": "There is a refresh token",
    "granted": "The scopes that were asked for were granted",
    "refresh": "A refresh works",
    "account": "It is the same account",
    "secret": "The client secret lasts",
    "consent": "The consent lasts",
}

Action = Literal["", "edit", "connect", "connections", "console"]
"""Where a mend is made: the link's form, its *Connect*, its connections, or the provider's console."""


class Result(StrEnum):
    """`unknown` is no failure: the step can't be told, and none guesses."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One step: its key in `TITLES`, how it ended and why; `mend` says what to do, and `action` where.

    `exchange` is what was asked and answered, without any secret. `label` is that of the connection it is about.
    """

    key: str
    result: Result
    cause: str
    mend: str = ""
    action: Action = ""
    exchange: tuple[str, ...] = ()
    label: str = ""

    @property
    def title(self) -> str:
        return TITLES[self.key]


def worst(findings: list[Finding]) -> Result:
    """How a check ended as a whole."""
    results = {finding.result for finding in findings}
    return next((result for result in (Result.FAILED, Result.WARNED) if result in results), Result.PASSED)


def skipped(why: str, *keys: str) -> list[Finding]:
    return [Finding(key, Result.SKIPPED, why) for key in keys]


def exchanged(asked: str, heard: Answered | Silence, said: Answer | None = None) -> tuple[str, ...]:
    """What was asked and answered, in lines; nothing of an answer is quoted but its error, made safe."""
    if isinstance(heard, Silence):
        return asked, f"→ {heard.words}"
    head = f"→ HTTP {heard.status} {heard.content_type}".rstrip()
    where = f", to {urlsplit(heard.location).netloc or 'a path of its own'}" if heard.location else ""
    return asked, f"{head}{where}", *([f"→ {told(said)}"] if said else [])


def told(answer: Answer) -> str:
    """An answer in a few words."""
    match answer:
        case Refused():
            return f"{answer.code}: {answer.words}" if answer.words else answer.code
        case Granted():
            return "a token, which isn't kept"
        case _:
            return answer.words
