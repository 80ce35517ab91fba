"""Every table, one file a family."""

from applinks.models.administrators import Administrator, SetupCode, SignInSession
from applinks.models.api_keys import ApiKey, ApiKeyLink, Reading, readings
from applinks.models.authorization import AuthorizationCode, Consent, IssuedGrant, IssuedToken
from applinks.models.base import compact, copy_sqlite, database, open_postgresql, open_sqlite
from applinks.models.connections import AuthorizationFlow, Connection, State, emptied
from applinks.models.events import ActorKind, Event, Tally, counts_of, write_tallies
from applinks.models.instance import Instance
from applinks.models.links import (
    INCOMING,
    OUTGOING,
    ApplicationLink,
    IncomingLink,
    LinkWord,
    OutgoingLink,
    without_next_secret,
)
from applinks.models.operations import Heartbeat, Reserve

TABLES = (
    Instance,
    Administrator,
    SetupCode,
    SignInSession,
    ApplicationLink,
    LinkWord,
    OutgoingLink,
    IncomingLink,
    Connection,
    AuthorizationFlow,
    Event,
    Tally,
    ApiKey,
    ApiKeyLink,
    Consent,
    IssuedGrant,
    AuthorizationCode,
    IssuedToken,
    Heartbeat,
    Reserve,
)

__all__ = [
    "INCOMING",
    "OUTGOING",
    "TABLES",
    "ActorKind",
    "Administrator",
    "ApiKey",
    "ApiKeyLink",
    "ApplicationLink",
    "AuthorizationCode",
    "AuthorizationFlow",
    "Connection",
    "Consent",
    "Event",
    "Heartbeat",
    "IncomingLink",
    "Instance",
    "IssuedGrant",
    "IssuedToken",
    "LinkWord",
    "OutgoingLink",
    "Reading",
    "Reserve",
    "SetupCode",
    "SignInSession",
    "State",
    "Tally",
    "compact",
    "copy_sqlite",
    "counts_of",
    "database",
    "emptied",
    "open_postgresql",
    "open_sqlite",
    "readings",
    "without_next_secret",
    "write_tallies",
]
