"""Advice beside the Redirect URL: what about it may displease a provider."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from applinks.providers import Provider
from applinks.settings import Settings, is_loopback


def redirect_warnings(settings: Settings, provider: Provider, host: str) -> list[str]:
    """What about the Redirect URL may displease this provider."""
    name = urlsplit(settings.base_url).hostname or ""
    found = []
    if host != settings.authority:
        found.append(
            f"You opened Applinks at {host}, but its base URL is {settings.base_url}: the Redirect URL uses the latter. "
            "If it isn't the address that browsers use, set APPLINKS_BASE_URL."
        )
    if _is_private(name):
        who = f"{provider.name} refuses" if provider.refuses_private_redirects else "many providers refuse"
        found.append(
            f"{name} is a private address: {who} it as a Redirect URL. Set APPLINKS_BASE_URL to the external address, "
            "for example a load balancer's."
        )
    if not settings.https:
        found.append("The Redirect URL is plain http: most providers accept that only for tests on one's own machine.")
    return found


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host.strip("[]")).is_global
    except ValueError:
        return is_loopback(host)
