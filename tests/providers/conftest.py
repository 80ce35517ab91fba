"""The catalogue, each drawer with its addresses moved to a stand-in."""

from dataclasses import replace

import pytest

from applinks.providers import CATALOGUE, Catalogue, Provider
from tests.standin import StandIn

PATHS = {
    "authorization_endpoint": "/authorize",
    "token_endpoint": "/token",
    "userinfo_endpoint": "/userinfo",
    "revocation_endpoint": "/revoke",
}


def moved(drawer: Provider, base_url: str) -> Provider:
    places = {name: f"{base_url}{path}" for name, path in PATHS.items() if getattr(drawer, name)}
    return replace(drawer, issuer="", **places)  # type: ignore[arg-type]


@pytest.fixture
def catalogue(provider: StandIn) -> Catalogue:
    return {key: moved(drawer, provider.base_url) for key, drawer in CATALOGUE.items()}
