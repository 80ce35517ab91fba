"""Changes of the schema, numbered: each brings a database one schema further, in one transaction.

peewee's own migrator writes what SQLite and PostgreSQL say differently. Its runner isn't used: it reads what is to be done
before it begins a transaction, and several processes may start at once.
"""

from collections.abc import Callable

from peewee import (
    SQL,
    BigIntegerField,
    BlobField,
    BooleanField,
    CompositeKey,
    Field,
    ForeignKeyField,
    IntegerField,
    Model,
    Node,
    TextField,
)
from playhouse.migrate import SchemaMigrator

from applinks.crypto import KeyRing, new_id, new_key
from applinks.models import Instance, database
from applinks.oauth.registration import search_words
from applinks.services.sealing import event_key_place, seal

SCHEMA = 7

_EMPTY: list[Node] = [SQL("DEFAULT ''")]


def _add(table: str, **columns: Field) -> None:
    """Columns that take a null, or say their default in the database: no row is rewritten for them."""
    migrator = SchemaMigrator.from_database(database.obj)
    for name, column in columns.items():
        migrator.add_column(table, name, column, allow_not_null=True).run()


def _drop(table: str, *names: str) -> None:
    migrator = SchemaMigrator.from_database(database.obj)
    for name in names:
        migrator.drop_column(table, name).run()


def _to_2(keys: KeyRing) -> None:
    """Client authentication that was found by trying; flows pinned to a digest."""
    _add("outgoing_link", found_authentication=TextField(constraints=_EMPTY))
    database.execute_sql("DELETE FROM authorization_flow")  # whoever is at a provider just then connects once more
    _drop("authorization_flow", "authorization_endpoint", "token_endpoint", "client_id")
    _add("authorization_flow", pins=TextField(constraints=_EMPTY))


def _to_3(keys: KeyRing) -> None:
    """What a refresh needs to be interrupted anywhere. Tables stand here as they were then, whatever became of them."""

    class Then(Model):
        class Meta:
            database = database.obj
            legacy_table_names = False

    class Heartbeat(Then):
        process = TextField(primary_key=True)
        place = TextField()
        at = BigIntegerField()

    class Reserve(Then):
        id = IntegerField(primary_key=True)
        block = TextField()

    _add(
        "connection",
        previous_refresh_token_enc=TextField(constraints=_EMPTY),
        failed_since=BigIntegerField(null=True),
        intent_generation=IntegerField(null=True),
    )
    database.create_tables([Heartbeat, Reserve])
    Reserve.create(id=1, block="")


def _to_4(keys: KeyRing) -> None:
    """Events that outlive what they are about, sealed one to the next; API keys; links found by their words."""

    class Then(Model):
        class Meta:
            database = database.obj
            legacy_table_names = False

    class ApplicationLink(Then):
        id = TextField(primary_key=True)
        slug = TextField()
        name = TextField()
        name_key = TextField()

    class Event(Then):
        id = IntegerField(primary_key=True)
        at = BigIntegerField(index=True)
        actor = TextField()
        actor_kind = TextField()
        actor_id = TextField()
        address = TextField()
        what = TextField()
        link_id = TextField()
        slug = TextField()
        label = TextField()
        words = TextField()
        counted = BooleanField()
        mac = TextField()

        class Meta:
            indexes = (
                *((("link_id", "id"), False), (("slug", "id"), False)),
                *((("actor", "id"), False), (("what", "id"), False)),
            )

    class Tally(Then):
        event = ForeignKeyField(Event, primary_key=True, on_delete="CASCADE")
        last_at = BigIntegerField()
        count = IntegerField()
        mac = TextField()

    class ApiKey(Then):
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

    class ApiKeyLink(Then):
        api_key = ForeignKeyField(ApiKey, on_delete="CASCADE")
        link = ForeignKeyField(ApplicationLink, on_delete="CASCADE")

        class Meta:
            primary_key = CompositeKey("api_key", "link")

    class LinkWord(Then):
        word = BlobField()
        name_key = TextField()
        link = ForeignKeyField(ApplicationLink, on_delete="CASCADE")

        class Meta:
            primary_key = CompositeKey("word", "name_key")

    _add("instance", event_key_enc=TextField(constraints=_EMPTY), events_end=TextField(constraints=_EMPTY))
    _add("administrator", disabled_at=BigIntegerField(null=True))
    lines = database.execute_sql(
        "SELECT event.at, event.actor, event.what, event.link_id, application_link.slug, event.label, event.words, event.count"
        " FROM event JOIN application_link ON application_link.id = event.link_id ORDER BY event.id"
    ).fetchall()
    database.execute_sql("DROP TABLE event")
    database.create_tables([Event, Tally, ApiKey, ApiKeyLink, LinkWord])

    instance_id, key, number, mac = Instance.select(Instance.id).scalar(), new_key(), 0, ""
    for number, (at, actor, what, link_id, slug, label, words, count) in enumerate(lines, start=1):
        counted = not actor or count > 1
        kind = "administrator" if actor else ""
        row = (number, at, actor, kind, "", "", what, link_id, slug, label, words, counted)
        mac = seal(key, "event", mac, *row)
        Event.insert_many([(*row, mac)]).execute()
        if counted:
            Tally.insert_many([(number, at, count, seal(key, "tally", number, at, count))]).execute()
    Instance.update(
        event_key_enc=keys.seal(key.hex(), event_key_place(instance_id)),
        events_end=seal(key, "end", number, mac) if number else "",
    ).execute()
    for link in ApplicationLink.select():
        for word in search_words(link.name):
            LinkWord.insert(word=word.encode(), name_key=link.name_key, link=link.id).execute()


def _to_5(keys: KeyRing) -> None:
    """When things end; a grant that waits to be confirmed; connections found by their state."""
    _add(
        "outgoing_link",
        client_secret_ends_at=BigIntegerField(null=True),
        certificate_ends_at=BigIntegerField(null=True),
    )
    _add(
        "authorization_flow",
        held_grant_enc=TextField(constraints=_EMPTY),
        held_account=TextField(constraints=_EMPTY),
    )
    SchemaMigrator.from_database(database.obj).add_index("connection", ("state",)).run()


def _to_6(keys: KeyRing) -> None:
    """Consents and grants of incoming links, and what each link may do. What was given out lives on; codes don't."""

    class Then(Model):
        class Meta:
            database = database.obj
            legacy_table_names = False

    class ApplicationLink(Then):
        id = TextField(primary_key=True)

    class Administrator(Then):
        id = TextField(primary_key=True)

    class Consent(Then):
        id = TextField(primary_key=True)
        link = ForeignKeyField(ApplicationLink, on_delete="CASCADE")
        administrator = ForeignKeyField(Administrator, on_delete="CASCADE", index=True)
        scopes = TextField()
        token_links = TextField()
        given_at = BigIntegerField()

        class Meta:
            indexes = ((("link", "administrator"), True),)

    class IssuedGrant(Then):
        id = TextField(primary_key=True)
        link = ForeignKeyField(ApplicationLink, on_delete="CASCADE", index=True)
        consent = ForeignKeyField(Consent, null=True, on_delete="CASCADE", index=True)
        scopes = TextField()
        token_links = TextField()
        began_at = BigIntegerField()
        ends_at = BigIntegerField(index=True)
        last_used_at = BigIntegerField(null=True)

    class AuthorizationCode(Then):
        code_digest = TextField(primary_key=True)
        grant = ForeignKeyField(IssuedGrant, on_delete="CASCADE", index=True)
        redirect_uri = TextField()
        code_challenge = TextField()
        expires_at = BigIntegerField()
        spent_at = BigIntegerField(null=True)

    class IssuedToken(Then):
        access_digest = TextField(primary_key=True)
        refresh_digest = TextField(unique=True, null=True)
        grant = ForeignKeyField(IssuedGrant, on_delete="CASCADE", index=True)
        scopes = TextField()
        issued_at = BigIntegerField()
        access_expires_at = BigIntegerField()
        refresh_expires_at = BigIntegerField(null=True)
        spent_at = BigIntegerField(null=True)
        successor_enc = TextField(default="")
        successor_until = BigIntegerField(null=True, index=True)

    _add(
        "incoming_link",
        client_secret_set_at=BigIntegerField(constraints=[SQL("DEFAULT 0")]),
        previous_secret_digest=TextField(constraints=_EMPTY),
        previous_secret_until=BigIntegerField(null=True),
        grant_types=TextField(constraints=[SQL("DEFAULT 'authorization_code'")]),
        token_links=TextField(constraints=_EMPTY),
        refresh_idle_life=IntegerField(constraints=[SQL(f"DEFAULT {30 * 86_400}")]),
        refresh_life=IntegerField(constraints=[SQL(f"DEFAULT {90 * 86_400}")]),
        disabled_at=BigIntegerField(null=True),
    )
    database.execute_sql(
        "UPDATE incoming_link SET client_secret_set_at ="
        " (SELECT created_at FROM application_link WHERE application_link.id = incoming_link.link_id)"
    )
    living = database.execute_sql(
        "SELECT access_digest, refresh_digest, family, link_id, administrator_id, scopes, access_expires_at,"
        " refresh_expires_at, spent_at FROM issued_token WHERE revoked_at IS NULL ORDER BY refresh_expires_at"
    ).fetchall()
    database.execute_sql("DROP TABLE authorization_code")
    database.execute_sql("DROP TABLE issued_token")
    database.create_tables([Consent, IssuedGrant, AuthorizationCode, IssuedToken])
    consents: dict[tuple[str, str], str] = {}
    for access, refresh, family, link, administrator, scopes, access_ends, refresh_ends, spent_at in living:
        at = refresh_ends - 30 * 86_400
        if (link, administrator) not in consents:
            consents[link, administrator] = new_id()
            row = {"link": link, "administrator": administrator, "scopes": scopes, "token_links": "", "given_at": at}
            Consent.create(id=consents[link, administrator], **row)
        if not IssuedGrant.update(ends_at=refresh_ends).where(IssuedGrant.id == family).execute():
            about = {"link": link, "consent": consents[link, administrator], "scopes": scopes, "token_links": ""}
            IssuedGrant.create(id=family, began_at=at, ends_at=refresh_ends, **about)
        IssuedToken.create(
            access_digest=access,
            refresh_digest=refresh,
            grant=family,
            scopes=scopes,
            issued_at=at,
            access_expires_at=access_ends,
            refresh_expires_at=refresh_ends,
            spent_at=spent_at,
        )


def _to_7(keys: KeyRing) -> None:
    """A next client secret that waits; figures for monitoring; alerts, and a calendar's address."""

    class Then(Model):
        class Meta:
            database = database.obj
            legacy_table_names = False

    class Figure(Then):
        name = TextField(primary_key=True)
        value = BigIntegerField()

    class Told(Then):
        subject = TextField(primary_key=True)
        at = BigIntegerField()

    class Alert(Then):
        id = TextField(primary_key=True)
        channel = TextField()
        kind = TextField()
        subject = TextField()
        content = TextField()
        created_at = BigIntegerField()
        attempts = IntegerField()
        next_attempt_at = BigIntegerField(null=True, index=True)
        sent_at = BigIntegerField(null=True)
        failure = TextField()

    database.create_tables([Figure, Told, Alert])
    # Until now it was never looked at again, whatever became of the keys.
    database.execute_sql(
        "UPDATE connection SET next_attempt_at = 0 WHERE state = 'unreadable' AND next_attempt_at IS NULL"
    )
    _add("administrator", calendar_digest=TextField(constraints=_EMPTY))
    _add(
        "outgoing_link",
        next_client_secret_enc=TextField(constraints=_EMPTY),
        next_client_secret_set_at=BigIntegerField(null=True),
        next_client_secret_ends_at=BigIntegerField(null=True),
    )


_STEPS: dict[int, Callable[[KeyRing], None]] = {2: _to_2, 3: _to_3, 4: _to_4, 5: _to_5, 6: _to_6, 7: _to_7}


def migrate(keys: KeyRing) -> None:
    """Bring the open database to this release's schema; several processes may start at once."""
    for schema in range(2, SCHEMA + 1):
        with database.atomic():
            if Instance.select(Instance.schema).scalar() >= schema:
                continue
            _STEPS[schema](keys)
            Instance.update(schema=schema).execute()
