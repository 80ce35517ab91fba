"""A check's second part: whether the provider is there, is who it says, and has a token endpoint where we ask."""

from collections.abc import Callable
from urllib.parse import urlsplit

from applinks.models import ApplicationLink, OutgoingLink, database
from applinks.oauth.answers import Away, Granted, Nonsense, Refused
from applinks.oauth.client import Answer
from applinks.oauth.probe import Answered, Probe, Silence
from applinks.providers.refusals import explain
from applinks.services.deadlines import WARN_DAYS, days, ending
from applinks.services.findings import Action, Finding, Result, exchanged, skipped
from applinks.services.links import Outgoing

CLOCK_WARNS, CLOCK_FAILS = 60, 300

_WRONG_PLACE = ("AADSTS90002", "AADSTS900023")
_EDIT = "Correct the token endpoint with Edit: the provider's documentation names it."
_AGAIN = "Nothing is wrong with the link's settings. Check again in a while."


class ProviderCheck:
    def __init__(self, probe: Probe, clock: Callable[[], float]) -> None:
        self._probe = probe
        self._clock = clock

    def findings(self, outgoing: Outgoing) -> list[Finding]:
        profile, host = outgoing.profile, outgoing.host
        findings = [self._addresses(outgoing)]
        if findings[0].result is Result.FAILED:
            return [*findings, *skipped("Its address isn't known.", "tls", "clock", "token_endpoint")]
        url = profile.token_endpoint
        heard, said = self._probe.token_endpoint(profile, url)
        exchange = exchanged(f"POST {url} grant_type={profile.grant_type}, without client and code", heard, said)
        if isinstance(heard, Silence):
            if heard.distrusted:
                mend = "Have the certificate renewed at the provider; if it is yours, install the new one."
                findings.append(Finding("tls", Result.FAILED, heard.words, mend, exchange=exchange))
                return [*findings, *skipped("There is no connection that can be trusted.", "clock", "token_endpoint")]
            if heard.answered:
                silent = Finding("token_endpoint", Result.FAILED, heard.words, _EDIT, "edit", exchange)
                return [*findings, *skipped("Its answer can't be read.", "tls", "clock"), silent]
            port = urlsplit(url).port or 443
            mend = f"See that the provider is up, and that this machine's firewall lets it call {host} at port {port}."
            silent = Finding("token_endpoint", Result.FAILED, heard.words, mend)
            return [*findings, *skipped("Nobody answered.", "tls", "clock"), silent]
        self._note_certificate(outgoing, heard.certificate_ends)
        token_endpoint = self._token_endpoint(outgoing, heard, said, exchange)
        return [*findings, self._certificate(heard), self._time(heard), token_endpoint]

    def _addresses(self, outgoing: Outgoing) -> Finding:
        profile = outgoing.profile
        if wrong := self._probe.resolve(outgoing.host):
            return Finding("address", Result.FAILED, wrong, _mend_of_address(wrong), "edit")
        others = {urlsplit(url).hostname or "" for url in (profile.authorization_endpoint, profile.userinfo_endpoint)}
        for host in sorted(others - {outgoing.host, ""}):
            if wrong := self._probe.resolve(host):
                return Finding("address", Result.WARNED, wrong, _mend_of_address(wrong), "edit")
        return Finding("address", Result.PASSED, f"{outgoing.host} has an address that may be called.")

    def _certificate(self, heard: Answered) -> Finding:
        if heard.certificate_ends is None:
            return Finding("tls", Result.SKIPPED, "Plain http on this machine: there is no certificate.")
        now = self._clock()
        said = f"The certificate is trusted, and {ending(heard.certificate_ends, now)}."
        if days(heard.certificate_ends, now) > WARN_DAYS:
            return Finding("tls", Result.PASSED, said)
        return Finding("tls", Result.WARNED, said, "Whoever runs the provider should renew it before then.")

    def _note_certificate(self, outgoing: Outgoing, ends: int | None) -> None:
        """What the list warns of, unless the link was changed while its provider was asked."""
        with database.atomic():
            same = (ApplicationLink.id == outgoing.link.id) & (ApplicationLink.version == outgoing.link.version)
            if ApplicationLink.select().where(same).exists():
                mine = OutgoingLink.link == outgoing.link.id
                OutgoingLink.update(certificate_ends_at=ends).where(mine).execute()

    def _time(self, heard: Answered) -> Finding:
        if heard.clock is None:
            return Finding("clock", Result.UNKNOWN, "The provider doesn't say what time it is.")
        off = int(self._clock()) - heard.clock
        if abs(off) < CLOCK_WARNS:
            return Finding("clock", Result.PASSED, "Both clocks agree within a minute.")
        amount = f"{abs(off)} seconds" if abs(off) < 2 * CLOCK_WARNS else f"{abs(off) // 60} minutes"
        said = f"This machine's clock is {amount} {'ahead of' if off > 0 else 'behind'} the provider's."
        mend = "Set this machine's clock by the network, for example with timedatectl set-ntp true."
        return Finding("clock", Result.FAILED if abs(off) >= CLOCK_FAILS else Result.WARNED, said, mend)

    def _token_endpoint(
        self, outgoing: Outgoing, heard: Answered, said: Answer | None, exchange: tuple[str, ...]
    ) -> Finding:
        def found(result: Result, cause: str, mend: str = "", action: Action = "") -> Finding:
            return Finding("token_endpoint", result, cause, mend, action, exchange)

        profile = outgoing.profile
        if isinstance(said, Refused):
            known = explain("code", said.code, said.words, profile.provider)
            if known and known.code in _WRONG_PLACE:
                return found(Result.FAILED, known.cause, known.mend, "edit")
            return found(Result.PASSED, "It answers as an OAuth 2.0 token endpoint.")
        if isinstance(said, Granted):
            return found(Result.UNKNOWN, "It gives tokens to whoever asks, without looking at the client.")
        if isinstance(said, Away):
            return found(Result.UNKNOWN if heard.status == 429 else Result.FAILED, said.words, _AGAIN)
        if isinstance(said, Nonsense) and said.unauthenticated:
            return found(Result.UNKNOWN, "It wants to know who asks, before it says more.")
        if isinstance(said, Nonsense) and said.redirect:
            return found(Result.FAILED, said.words, _EDIT, "edit")
        if profile.authorization_endpoint != profile.token_endpoint and not profile.without_account:
            other = self._probe.token_endpoint(profile, profile.authorization_endpoint)[1]
            if isinstance(other, Refused):
                return found(
                    Result.FAILED,
                    "The authorization endpoint answers as a token endpoint: the two are swapped.",
                    "Exchange them with Edit.",
                    "edit",
                )
        if heard.content_type == "text/html":
            cause = (
                f"It answered HTTP {heard.status} with a web page. Either the address is wrong, or something in between"
            )
            return found(
                Result.FAILED,
                f"{cause}, such as a proxy, answers in its place.",
                f"{_EDIT} If it is right, see that this machine reaches it without a proxy's sign-in page.",
                "edit",
            )
        return found(Result.FAILED, said.words if said else "It said nothing.", _EDIT, "edit")


def _mend_of_address(wrong: str) -> str:
    """What mends an address, where the words about it don't say so themselves."""
    told = "APPLINKS_" in wrong
    return "" if told else "Correct the host with Edit, or see that this machine's name service knows it."
