"""A check's third part: whether client ID and client secret are right, without anybody's consent.

A token request with a code that nobody was given is refused: for the client where that is wrong, for the code where it is
right (RFC 6749 §4.1.3 has the server authenticate the client first).
"""

from dataclasses import replace

from applinks.crypto import UnreadableError
from applinks.oauth.answers import Away, Granted, Nonsense, Refused
from applinks.oauth.client import AddressRefused, Answer, OAuthClient
from applinks.providers import ClientAuthentication
from applinks.providers.refusals import explain
from applinks.services.events import Actor, Events
from applinks.services.findings import Finding, Result, told
from applinks.services.link_client import CLIENT_REFUSED, LinkClient
from applinks.services.links import Outgoing

_METHODS: tuple[ClientAuthentication, ...] = ("client_secret_basic", "client_secret_post")
_CODE_REFUSED = {"invalid_grant", "bad_verification_code", "invalid_code", "code_already_used", "code_expired"}
_REDIRECT_REFUSED = {"redirect_uri_mismatch", "bad_redirect_uri", "invalid_redirect_uri"}
# Numbers of Microsoft's: the request was refused before anybody looked at the client.
_TOO_EARLY = ("AADSTS9002313", "AADSTS900144")
_RIGHT = "The provider knows the client ID and the client secret."
_WRONG = "The provider refused the client ID or the client secret."
_EDIT = "Check them with Edit."


class ClientCheck:
    def __init__(self, client: OAuthClient, link_client: LinkClient, events: Events) -> None:
        self._client = client
        self._link_client = link_client
        self._events = events

    def finding(self, outgoing: Outgoing, actor: Actor, *, reached: bool) -> Finding:
        if not reached:
            return Finding("credentials", Result.SKIPPED, "The token endpoint can't be asked.")
        profile = outgoing.profile
        usual = profile.client_authentication
        tried: list[str] = []
        self._events.record(actor, "checked", outgoing.link.id)
        tries: list[Finding] = []
        for method in self._methods(outgoing):
            try:
                answer = self._link_client.try_credentials(outgoing, method)
            except UnreadableError:
                words = "The stored client secret can't be opened with the keys that Applinks has."
                return Finding("credentials", Result.FAILED, words, "Type it again with Edit.", "edit")
            asked = "client credentials" if profile.without_account else "a made-up code"
            tried += [f"POST {profile.token_endpoint} with {asked} and {method}", f"→ {told(answer)}"]
            result, cause, mend = self._judged(outgoing, answer)
            if result is Result.PASSED and tries and usual:
                cause = f"The provider takes {method}, and not {usual}."
                mend = f"Choose {method} under Advanced, Client authentication, with Edit."
                return Finding("credentials", Result.FAILED, cause, mend, "edit", tuple(tried))
            if result is Result.PASSED and not usual:
                cause = f"{cause} They are sent as {method}."
            finding = Finding("credentials", result, cause, mend, "edit" if mend else "", tuple(tried))
            tries.append(finding)
            # Another method is worth a try where the client wasn't recognised, or nobody knows which one is right.
            if result is Result.PASSED or not (usual is None or len(tries) > 1 or _is_unrecognised(answer)):
                return finding
        failed = [finding for finding in tries if finding.result is Result.FAILED]
        return replace((failed or tries)[0], exchange=tuple(tried))

    def _methods(self, outgoing: Outgoing) -> list[ClientAuthentication]:
        """The method that the link has first, then the others there are."""
        usual = outgoing.profile.client_authentication
        if usual == "none":
            return ["none"]
        known = list(_METHODS) if usual else self._client.client_authentication_methods(outgoing.profile)
        return sorted(known, key=lambda method: method != usual) if usual else known

    def _judged(self, outgoing: Outgoing, answer: Answer) -> tuple[Result, str, str]:
        provider = outgoing.profile.provider
        match answer:
            case Granted() if not outgoing.profile.without_account:
                return Result.UNKNOWN, "The provider gave a token for a code that nobody was given.", ""
            case Granted():
                return Result.PASSED, _RIGHT, ""
            case Refused() if any(number in answer.words for number in _TOO_EARLY):
                return Result.UNKNOWN, "The provider refused the made-up code before it looked at the client.", ""
            case Refused():
                known = explain("code", answer.code, answer.words, provider)
                specific = known is not None and known.code != answer.code
                if answer.code in _CODE_REFUSED and not (specific and known and known.means == "settings"):
                    return Result.PASSED, _RIGHT, ""
                if _is_unrecognised(answer) and self._link_client.are_swapped(outgoing):
                    name = outgoing.provider.name
                    cause = f"Client ID and client secret are swapped: the secret looks like one of {name}'s IDs."
                    return Result.FAILED, cause, "Exchange them with Edit."
                if known and (_is_unrecognised(answer) or specific or answer.code in _REDIRECT_REFUSED):
                    return Result.FAILED, known.cause, known.mend
                if _is_unrecognised(answer):
                    return Result.FAILED, _WRONG, _EDIT
                return Result.UNKNOWN, f"The provider refused the try for another reason: {answer.code}.", ""
            case Nonsense() if answer.unauthenticated:
                return Result.FAILED, _WRONG, _EDIT
            case AddressRefused():
                return Result.FAILED, answer.words, "Correct the token endpoint with Edit."
            case Away() | Nonsense():
                return Result.UNKNOWN, f"{answer.words} So nothing is known of them.", ""


def _is_unrecognised(answer: Answer) -> bool:
    if isinstance(answer, Refused):
        return answer.unauthenticated or answer.code in CLIENT_REFUSED
    return isinstance(answer, Nonsense) and answer.unauthenticated
