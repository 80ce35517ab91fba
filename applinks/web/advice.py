"""Advice beside the Redirect URL: what about it may displease a provider."""

from applinks.providers import Provider
from applinks.services.advice import redirect_advice
from applinks.services.findings import Result
from applinks.settings import Settings


def redirect_warnings(settings: Settings, provider: Provider, host: str) -> list[str]:
    """What about the Redirect URL may displease this provider, opened in a browser at `host`."""
    found = []
    if host != settings.authority:
        found.append(
            f"You opened Applinks at {host}, but its base URL is {settings.base_url}: the Redirect URL uses the latter. "
            "If it isn't the address that browsers use, set APPLINKS_BASE_URL."
        )
    advice = reversed(redirect_advice(settings, provider))
    return found + [f"{one.cause} {one.mend}" for one in advice if one.result is not Result.PASSED]
