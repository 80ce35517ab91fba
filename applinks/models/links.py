"""Application links in both directions."""

from peewee import BigIntegerField, BlobField, CompositeKey, ForeignKeyField, IntegerField, TextField

from applinks.models.base import Table

OUTGOING = "outgoing"
INCOMING = "incoming"


class ApplicationLink(Table):
    """What the list shows. `version` counts edits; `name_key` makes names unique as people read them."""

    # Of its outgoing link, where the list asks for it.
    provider: str | None
    client_secret_ends_at: int | None
    certificate_ends_at: int | None
    # Of its incoming link, there too.
    disabled_at: int | None
    id = TextField(primary_key=True)
    slug = TextField(unique=True)
    name = TextField()
    name_key = TextField(unique=True)
    direction = TextField()
    version = IntegerField(default=1)
    created_at = BigIntegerField()
    updated_at = BigIntegerField()


class LinkWord(Table):
    """A word of a link's name, for searching by how words begin: bytes, which both databases order alike.

    `name_key` is the link's: matches come in the order of the index, however many there are.
    """

    link_id: str
    word = BlobField()
    name_key = TextField()
    link = ForeignKeyField(ApplicationLink, on_delete="CASCADE", backref="words")

    class Meta:
        primary_key = CompositeKey("word", "name_key")


class OutgoingLink(Table):
    """We are the client. `differences` is JSON: what this link adds to its provider's drawer.

    `found_authentication` is the client authentication that was found to work, empty where that isn't known.
    `client_secret_ends_at` is as the administrator noted it, `certificate_ends_at` as it was last seen.
    `next_client_secret_enc` waits until the provider refuses the current one.
    """

    link_id: str
    link = ForeignKeyField(ApplicationLink, primary_key=True, on_delete="CASCADE", backref="outgoing")
    provider = TextField()
    differences = TextField()
    client_id = TextField()
    client_secret_enc = TextField()
    client_secret_set_at = BigIntegerField()
    scopes = TextField()
    found_authentication = TextField(default="")
    client_secret_ends_at = BigIntegerField(null=True)
    certificate_ends_at = BigIntegerField(null=True)
    next_client_secret_enc = TextField(default="")
    next_client_secret_set_at = BigIntegerField(null=True)
    next_client_secret_ends_at = BigIntegerField(null=True)


def without_next_secret() -> dict[object, object]:
    """The columns of an outgoing link for which no next client secret waits."""
    return {
        OutgoingLink.next_client_secret_enc: "",
        OutgoingLink.next_client_secret_set_at: None,
        OutgoingLink.next_client_secret_ends_at: None,
    }


class IncomingLink(Table):
    """An external application is a client of ours; without a secret it is a public one (RFC 6749 §2.1).

    `redirect_uris` has one a line, `token_links` the ID of a link whose tokens it may read. Lives are in seconds:
    `refresh_idle_life` of a refresh token that isn't used, `refresh_life` of all that come of one consent.
    """

    link_id: str
    link = ForeignKeyField(ApplicationLink, primary_key=True, on_delete="CASCADE", backref="incoming")
    client_id = TextField(unique=True)
    client_secret_digest = TextField()
    client_secret_set_at = BigIntegerField()
    previous_secret_digest = TextField(default="")
    previous_secret_until = BigIntegerField(null=True)
    redirect_uris = TextField()
    grant_types = TextField()
    scopes = TextField()
    token_links = TextField(default="")
    access_token_life = IntegerField()
    refresh_idle_life = IntegerField()
    refresh_life = IntegerField()
    disabled_at = BigIntegerField(null=True)

    @property
    def is_public(self) -> bool:
        return not self.client_secret_digest
