"""Every table, one file a family."""

from applinks.models.administrators import Administrator, SetupCode, SignInSession
from applinks.models.alerts import Alert, Told
from applinks.models.api_keys import ApiKey, ApiKeyLink, Reading, readings
from applinks.models.authorization import AuthorizationCode, Consent, IssuedGrant, IssuedToken
from applinks.models.base import compact, copy_sqlite, database, open_postgresql, open_sqlite
from applinks.models.connections import AuthorizationFlow, Connection, State, emptied
from applinks.models.events import ActorKind, Event, Tally, counts_of, write_tallies
from applinks.models.figures import REFRESH_BUCKETS, Figure, all_figures, count_figures, refreshed_in
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
    Figure,
    Told,
    Alert,
)

__all__ = [
    "INCOMING",
    "OUTGOING",
    "REFRESH_BUCKETS",
    "TABLES",
    "ActorKind",
    "Administrator",
    "Alert",
    "ApiKey",
    "ApiKeyLink",
    "ApplicationLink",
    "AuthorizationCode",
    "AuthorizationFlow",
    "Connection",
    "Consent",
    "Event",
    "Figure",
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
    "Told",
    "all_figures",
    "compact",
    "copy_sqlite",
    "count_figures",
    "counts_of",
    "database",
    "emptied",
    "open_postgresql",
    "open_sqlite",
    "readings",
    "refreshed_in",
    "without_next_secret",
    "write_tallies",
]
