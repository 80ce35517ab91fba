"""What belongs to the request at hand."""

from typing import cast

from flask import current_app, g, request

from applinks.models import ActorKind, SignInSession
from applinks.services.events import Actor
from applinks.web.address import visitor
from applinks.wiring import Services


def services() -> Services:
    return cast(Services, current_app.extensions["applinks"])


def browser_session() -> SignInSession | None:
    """The living session of this browser, if it is signed in."""
    return cast("SignInSession | None", g.get("browser_session"))


def signed_in() -> SignInSession:
    """The session behind a page that only administrators see."""
    session = browser_session()
    if session is None:
        raise RuntimeError("The gate lets nobody in here without a session.")
    return session


def actor() -> Actor:
    """Who is signed in, for the audit log."""
    return administrator_at(signed_in())


def administrator_at(session: SignInSession) -> Actor:
    who = session.administrator
    return Actor(who.username, ActorKind.ADMINISTRATOR, who.id, client_address())


def stranger() -> Actor:
    """Somebody who isn't signed in."""
    return Actor(kind=ActorKind.STRANGER, address=client_address())


def by_htmx() -> bool:
    """Whether htmx asks for a fragment. It decides the form of an answer, never what is allowed."""
    return request.headers.get("HX-Request") == "true"


def client_address() -> str:
    """Where a request comes from."""
    return visitor(request.environ, services().settings.trusted_proxies)
