"""Tokens that are valid now, for scripts and for mail programs."""

import re
from typing import Any

from flask import Blueprint, Response, request

from applinks.crypto import digest
from applinks.errors import InvalidFieldError, InvalidFieldsError
from applinks.oauth.registration import read_label
from applinks.oauth.sasl import oauthbearer, read_user, xoauth2
from applinks.services.tokens import LEAST_SECONDS, AccessToken, TokenRequest
from applinks.web.api.asking import access, body, key, number, query, route
from applinks.web.api.lane import WENT_WRONG
from applinks.web.api.written import life_of, token_written
from applinks.web.current import client_address, services
from applinks.web.waiting import a_place_to_wait

blueprint = Blueprint("tokens", __name__)

MOST_SECONDS = 86_400
_DIGEST = re.compile(r"[0-9a-f]{64}")


@route(blueprint, "GET", "/links/<slug:slug>/token")
def token(slug: str) -> Response:
    """A token that lives for as long as is asked for; without a query, the lane has answered or knows what went wrong."""
    if went_wrong := request.environ.get(WENT_WRONG):
        raise went_wrong
    asked, _ = _asked(slug)
    return _answer(services().tokens.read(asked, key(), client_address(), a_place_to_wait))


@route(blueprint, "POST", "/links/<slug:slug>/token/rejected")
def rejected(slug: str) -> Response:
    """Another one than the token that was refused by whom it was shown to."""
    asked, _ = _asked(slug)
    rejected_digest = _rejected_digest()
    return _answer(services().tokens.replace(asked, rejected_digest, key(), client_address(), a_place_to_wait))


@route(blueprint, "GET", "/links/<slug:slug>/xoauth2")
def sasl(slug: str) -> dict[str, Any]:
    """What a mail program sends to log in as a user."""
    asked, user = _asked(slug, user=True)
    found = services().tokens.read(asked, key(), client_address(), a_place_to_wait)
    strings = {"xoauth2": xoauth2(user, found.access_token), "oauthbearer": oauthbearer(user, found.access_token)}
    return strings | life_of(found, int(services().clock()))


def _asked(slug: str, *, user: bool = False) -> tuple[TokenRequest, str]:
    """What is asked for; who may not ask for anything isn't told what is wrong with it."""
    readers = {"connection": _label, "min_ttl": number(MOST_SECONDS)} | ({"user": read_user} if user else {})
    try:
        sent = query(**readers)
        if user and sent["user"] is None:
            raise InvalidFieldsError({"user": "Name the user to log in as."})
    except InvalidFieldsError:
        access()
        raise
    seconds = LEAST_SECONDS if sent["min_ttl"] is None else sent["min_ttl"]
    return TokenRequest(slug, sent["connection"], seconds), sent.get("user") or ""


def _label(name: str, text: str) -> str:
    try:
        return read_label(text)
    except InvalidFieldError as error:
        raise InvalidFieldError(name, str(error)) from None


def _rejected_digest() -> str:
    access()
    sent = body("token", "digest")
    if len(sent) != 1:
        raise InvalidFieldsError({"body": "Send either token or digest."})
    if "token" in sent:
        return digest(sent["token"])
    if not _DIGEST.fullmatch(sent["digest"]):
        raise InvalidFieldsError({"digest": "Write the token's SHA-256 in 64 small hexadecimal digits."})
    return sent["digest"]


def _answer(found: AccessToken) -> Response:
    return Response(token_written(found, int(services().clock())), content_type="application/json")
