"""A check's first part: whether Applinks itself is where its base URL says, and what a provider thinks of that address."""

from applinks.crypto import new_id, same
from applinks.oauth.probe import Probe, Silence
from applinks.services.advice import redirect_advice
from applinks.services.findings import Finding, Result, exchanged
from applinks.services.links import Outgoing
from applinks.services.sealing import seal
from applinks.settings import Settings

_SET = "Set APPLINKS_BASE_URL to the address that browsers use,"


class HereCheck:
    def __init__(self, settings: Settings, nonce_key: bytes, probe: Probe) -> None:
        self._settings = settings
        self._nonce_key = nonce_key
        self._probe = probe

    def answer(self, nonce: str) -> str:
        """What this Applinks, and no other, says to a nonce."""
        return seal(self._nonce_key, "nonce", nonce)

    def findings(self, outgoing: Outgoing) -> list[Finding]:
        if outgoing.profile.without_account:
            return [self._base_url()]
        return [self._base_url(), *redirect_advice(self._settings, outgoing.provider)]

    def _base_url(self) -> Finding:
        base_url, nonce = self._settings.base_url, new_id()
        url = f"{base_url}/nonce/{nonce}"
        heard = self._probe.own(url)
        exchange = exchanged(f"GET {url}", heard)
        if isinstance(heard, Silence):
            cause = f"{heard.words} That was asked from this machine; browsers may have another way."
            mend = f"{_SET} and see that a proxy there leads here."
            return Finding("base_url", Result.WARNED, cause, mend, exchange=exchange)
        if same(heard.text.strip(), self.answer(nonce)):
            return Finding("base_url", Result.PASSED, f"{base_url} leads here.", exchange=exchange)
        cause = f"Something else than this Applinks answers at {base_url}."
        return Finding("base_url", Result.FAILED, cause, f"{_SET} or correct the proxy there.", exchange=exchange)
