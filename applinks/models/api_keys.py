"""API keys, which links they are for, and the one query behind every token that is handed out."""

from functools import cache
from typing import Any, NamedTuple

from peewee import JOIN, BigIntegerField, BooleanField, CompositeKey, ForeignKeyField, TextField

from applinks.models.base import Table, database
from applinks.models.connections import Connection
from applinks.models.instance import Instance
from applinks.models.links import ApplicationLink


class ApiKey(Table):
    """What a script shows; of the key itself only a digest is here. `made_by` is for people."""

    id = TextField(primary_key=True)
    name = TextField()
    digest = TextField()
    all_links = BooleanField()
    manages = BooleanField()
    made_by = TextField()
    created_at = BigIntegerField()
    expires_at = BigIntegerField()
    revoked_at = BigIntegerField(null=True)
    last_used_at = BigIntegerField(null=True)


class ApiKeyLink(Table):
    """A link that a key is for, where it isn't for all."""

    api_key_id: str
    link_id: str
    api_key = ForeignKeyField(ApiKey, on_delete="CASCADE", backref="scope")
    link = ForeignKeyField(ApplicationLink, on_delete="CASCADE", index=True)

    class Meta:
        primary_key = CompositeKey("api_key", "link")


class Reading(NamedTuple):
    """All that handing out a token needs, in one row; None where there is no such key, link or connection."""

    key_id: str | None
    key_name: str
    key_digest: str
    key_revoked_at: int | None
    key_expires_at: int
    key_all_links: bool
    key_link_id: str | None
    link_id: str | None
    connection_id: str | None
    label: str
    state: str
    access_token_enc: str
    refreshed_at: int | None
    expires_at: int | None
    scopes_granted: str


_KEY, _SLUG, _LABEL = "\0key", "\0slug", "\0label"


def readings(key_id: str, slug: str, label: str | None) -> list[Reading]:
    """A key, a link and its connection of that label, or two of its connections where no label is given.

    There is always a row, and always the same one statement: for the command line, no key is found.
    """
    sql, parameters = _statement(type(database.obj).__name__, label is not None)
    given = {_KEY: key_id, _SLUG: slug, _LABEL: label}
    rows = database.execute_sql(sql, [given.get(value, value) for value in parameters]).fetchall()
    return [Reading._make(row) for row in rows]


@cache
def _statement(kind: str, with_label: bool) -> tuple[str, list[Any]]:
    """Written once for each class of databases: writing it takes longer than running it."""
    link, scope = ApplicationLink, ApiKeyLink
    wanted = Connection.link == link.id
    if with_label:
        wanted &= Connection.label == _LABEL
    columns = (
        *(ApiKey.id, ApiKey.name, ApiKey.digest, ApiKey.revoked_at, ApiKey.expires_at, ApiKey.all_links),
        *(scope.link, link.id, Connection.id, Connection.label, Connection.state, Connection.access_token_enc),
        *(Connection.refreshed_at, Connection.expires_at, Connection.scopes_granted),
    )
    rows = (
        Instance.select(*columns)
        .join(ApiKey, JOIN.LEFT_OUTER, on=ApiKey.id == _KEY)
        .join_from(Instance, link, JOIN.LEFT_OUTER, on=link.slug == _SLUG)
        .join_from(Instance, scope, JOIN.LEFT_OUTER, on=(scope.api_key == ApiKey.id) & (scope.link == link.id))
        .join_from(Instance, Connection, JOIN.LEFT_OUTER, on=wanted)
        .limit(2)
    )
    sql, parameters = rows.sql()
    return sql, parameters
