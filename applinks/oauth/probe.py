"""What a check asks of a provider beyond the client's own requests: no token, no secret and no code goes along.

An answer comes with who gave it: certificate, clock, and where a redirect would lead. Nothing is followed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests

from applinks.oauth.answers import TokenAnswer, read_token_answer
from applinks.oauth.guard import (
    AddressRefusedError,
    AnswerRefusedError,
    CallFailedError,
    Guard,
    Heard,
)
from applinks.providers import ProviderProfile

PROBE_SECONDS = 5.0


@dataclass(frozen=True)
class Silence:
    """There was no answer that can be used. `distrusted`: because of the certificate; `refused`: the guard didn't call;
    `answered`: there was one, too large or packed in a way that wasn't asked for."""

    words: str
    distrusted: bool = False
    refused: bool = False
    answered: bool = False


@dataclass(frozen=True)
class Answered:
    """An answer: its status, what its body says, at what time by the other side's clock (seconds since 1970)."""

    status: int
    content_type: str
    text: str
    location: str
    clock: int | None
    certificate_ends: int | None


class Probe:
    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def resolve(self, host: str) -> str:
        """What is wrong with the addresses of a host, empty for nothing."""
        try:
            self._guard.addresses(host)
        except (AddressRefusedError, CallFailedError) as error:
            return str(error)
        return ""

    def own(self, url: str) -> Answered | Silence:
        """What Applinks itself answers at its base URL."""
        return self._ask("GET", url, own=True)

    def page(self, url: str) -> Answered | Silence:
        """What a browser would be shown at a URL that was made of a checked endpoint."""
        return self._ask("GET", url, accept="text/html")

    def token_endpoint(self, profile: ProviderProfile, url: str) -> tuple[Answered | Silence, TokenAnswer | None]:
        """What a token endpoint says to a request without client and code, which it must refuse (RFC 6749 §5.2)."""
        answer: list[TokenAnswer] = []

        def read(response: requests.Response) -> None:
            answer.append(read_token_answer(response, form_encoded=profile.form_encoded_answers))

        form: dict[str, str] = {"grant_type": profile.grant_type}
        heard = self._ask("POST", url, form=form, in_json=profile.json_body, read=read)
        return heard, answer[0] if answer else None

    def _ask(
        self,
        method: str,
        url: str,
        *,
        form: dict[str, str] | None = None,
        in_json: bool = False,
        accept: str = "application/json",
        own: bool = False,
        read: Callable[[requests.Response], None] = lambda _: None,
    ) -> Answered | Silence:
        headers = {"User-Agent": "Applinks", "Accept": accept, "Accept-Encoding": "identity", "Connection": "close"}
        request = requests.Request(
            method, url, headers=headers, data=None if in_json else form, json=form if in_json else None
        ).prepare()
        try:
            if form:
                self._guard.endpoint(url)
            heard = (self._guard.hear_own if own else self._guard.hear)(request, PROBE_SECONDS)
        except AddressRefusedError as refused:
            return Silence(str(refused), refused=True)
        except CallFailedError as failed:
            return Silence(str(failed), distrusted=failed.distrusted)
        except AnswerRefusedError as refused:
            return Silence(str(refused), answered=True)
        read(heard.response)
        return _answered(heard)


def _is_url(text: str) -> bool:
    try:
        return bool(urlsplit(text))
    except ValueError:
        return False


def _answered(heard: Heard) -> Answered:
    response = heard.response
    try:
        clock: int | None = int(parsedate_to_datetime(response.headers.get("Date", "")).timestamp())
    except (ValueError, TypeError, OverflowError):
        clock = None
    return Answered(
        response.status_code,
        response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
        response.content.decode("utf-8", "replace"),
        heard.location if _is_url(heard.location) else "",
        clock,
        heard.certificate_ends,
    )
