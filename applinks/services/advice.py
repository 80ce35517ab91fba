"""What about the Redirect URL may displease a provider."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from applinks.providers import Provider
from applinks.services.findings import Finding, Result
from applinks.settings import Settings, is_loopback

_INSIDE = (".local", ".internal", ".lan", ".corp", ".home", ".intranet", ".home.arpa")


def redirect_advice(settings: Settings, provider: Provider) -> list[Finding]:
    """Whether the Redirect URL is https, and at an address that this provider takes."""
    return [_https(settings, provider), _address(settings, provider)]


def _https(settings: Settings, provider: Provider) -> Finding:
    if settings.https:
        return Finding("https", Result.PASSED, "It is.")
    if provider.refuses_http_redirects:
        cause = f"The Redirect URL is plain http, which {provider.name} refuses."
        mend = "Put Applinks behind a proxy with TLS, and set APPLINKS_BASE_URL to its https address."
        return Finding("https", Result.FAILED, cause, mend, "console")
    cause = "The Redirect URL is plain http: most providers accept that only for tests on one's own machine."
    mend = "For more than a test, put Applinks behind a proxy with TLS and set APPLINKS_BASE_URL to its https address."
    return Finding("https", Result.WARNED, cause, mend)


def _address(settings: Settings, provider: Provider) -> Finding:
    host = urlsplit(settings.base_url).hostname or ""
    if not _is_private(host):
        return Finding("redirect_url", Result.PASSED, "Nothing about it is known to be refused.")
    mend = (
        "Set APPLINKS_BASE_URL to the external address, for example a load balancer's, and register that Redirect URL."
    )
    if provider.refuses_private_redirects:
        cause = f"{host} is a private address: {provider.name} refuses it as a Redirect URL."
        # Of one's own machine, for tests, it may be taken all the same.
        return Finding("redirect_url", Result.WARNED if is_loopback(host) else Result.FAILED, cause, mend)
    cause = f"{host} is a private address: many providers refuse it as a Redirect URL."
    return Finding("redirect_url", Result.WARNED, cause, mend)


def _is_private(host: str) -> bool:
    try:
        return not ip_address(host.strip("[]")).is_global
    except ValueError:
        return is_loopback(host) or "." not in host or host.endswith(_INSIDE)
