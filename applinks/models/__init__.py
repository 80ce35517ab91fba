"""Every table, one file a family."""

from applinks.models.administrators import Administrator, SetupCode, SignInSession
from applinks.models.authorization import AuthorizationCode, IssuedToken
from applinks.models.base import database, open_database
from applinks.models.connections import AuthorizationFlow, Connection, Event, State, emptied
from applinks.models.instance import Instance
from applinks.models.links import INCOMING, OUTGOING, ApplicationLink, IncomingLink, OutgoingLink

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
    "IncomingLink",
    "Instance",
    "IssuedToken",
    "OutgoingLink",
    "SetupCode",
    "SignInSession",
    "State",
    "database",
    "emptied",
    "open_database",
]
