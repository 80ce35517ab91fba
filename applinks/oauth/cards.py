"""Link cards: what two Applinks tell each other by copy and paste, so that nobody types an address. Never a secret.

The outgoing side's card says where people are sent back to, the incoming side's where its endpoints are; either says what
is asked for.
"""

import json
from collections.abc import Mapping
from typing import Any

from applinks.errors import InvalidFieldError
from applinks.oauth.scopes import SCOPES

CARD_LENGTH = 16_384
_KIND = "applinks_link_card"
_ENDPOINTS = ("issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "revocation_endpoint")
_TEXTS = ("name", *_ENDPOINTS, "client_id", "redirect_uri", "scopes")


def outgoing_card(name: str, redirect_uri: str, scopes: str) -> str:
    """The card of whoever will ask for access."""
    return _card({"name": name, "redirect_uri": redirect_uri, "scopes": scopes})


def incoming_card(name: str, metadata: Mapping[str, Any], client_id: str, scopes: str) -> str:
    """The card of whoever will give it."""
    return _card({"name": name, **{key: metadata[key] for key in _ENDPOINTS}, "client_id": client_id, "scopes": scopes})


def _card(texts: Mapping[str, str]) -> str:
    return json.dumps({_KIND: 1, **texts}, indent=2)


def read_card(text: str) -> dict[str, str]:
    """The texts of a card, each as it was written: whoever takes one reads it as if it had been typed.

    Raises InvalidFieldError.
    """
    try:
        card = json.loads(text) if len(text) <= CARD_LENGTH else None
    except (ValueError, RecursionError):
        card = None
    if not isinstance(card, dict) or card.get(_KIND) != 1:
        raise InvalidFieldError(
            "card", "This isn't a link card. Choose Copy at the other Applinks, and paste all of it."
        )
    return {name: card[name] for name in _TEXTS if isinstance(card.get(name), str) and card[name].isprintable()}


def outgoing_fields(card: Mapping[str, str]) -> dict[str, str]:
    """The fields of an outgoing link's form. Raises InvalidFieldError where the card is of the other side."""
    if "token_endpoint" not in card:
        raise InvalidFieldError("card", "This card has no endpoints: take the one of the Applinks that gives access.")
    names = [name for name in (*_ENDPOINTS, "client_id", "scopes", "name") if name in card]
    return {name: card[name] for name in names} | {"provider": "custom", "iss_required": "yes"}


def incoming_fields(card: Mapping[str, str]) -> dict[str, str]:
    """Name, Redirect URL and known scopes for an incoming link's form, empty where the card has none.

    Raises InvalidFieldError where the card is of the other side.
    """
    if "redirect_uri" not in card:
        raise InvalidFieldError(
            "card", "This card has no Redirect URL: take the one of the Applinks that asks for access."
        )
    scopes = " ".join(scope for scope in card.get("scopes", "").split() if scope in SCOPES)
    return {"name": card.get("name", ""), "redirect_uri": card["redirect_uri"], "scopes": scopes}
