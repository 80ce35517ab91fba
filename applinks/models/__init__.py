"""Every table, one file a family."""

from applinks.models.administrators import Administrator, SetupCode, SignInSession
from applinks.models.authorization import AuthorizationCode, IssuedToken
from applinks.models.base import database, open_postgresql, open_sqlite
from applinks.models.connections import AuthorizationFlow, Connection, Event, State, emptied
from applinks.models.instance import Instance
from applinks.models.links import INCOMING, OUTGOING, ApplicationLink, IncomingLink, OutgoingLink
from applinks.models.operations import Heartbeat, Reserve

TABLES = (
    Instance,
    Administrator,
    SetupCode,
    SignInSession,
    ApplicationLink,
    OutgoingLink,
    IncomingLink,
    Connection,
    AuthorizationFlow,
    Event,
    AuthorizationCode,
    IssuedToken,
    Heartbeat,
    Reserve,
)

__all__ = [
    "INCOMING",
    "OUTGOING",
    "TABLES",
    "Administrator",
    "ApplicationLink",
    "AuthorizationCode",
    "AuthorizationFlow",
    "Connection",
    "Event",
    "Heartbeat",
    "IncomingLink",
    "Instance",
    "IssuedToken",
    "OutgoingLink",
    "Reserve",
    "SetupCode",
    "SignInSession",
    "State",
    "database",
    "emptied",
    "open_postgresql",
    "open_sqlite",
]
