"""A peer: what one writes with Authlib's Flask client and SQLAlchemy to hand tokens to scripts with keys."""

import base64
import hashlib
import time

from authlib.integrations.flask_client import OAuth
from cryptography.fernet import Fernet
from flask import Flask, abort, g, jsonify, request
from sqlalchemy import Dialect, ForeignKey, Text, TypeDecorator, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

LINKS = 1000


class Base(DeclarativeBase):
    pass


class Sealed(TypeDecorator[str]):
    """Encrypted at rest, as Applinks keeps what it was given, by cryptography's Fernet."""

    impl = Text
    cache_ok = True
    cipher = Fernet(base64.urlsafe_b64encode(b"k" * 32))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value and self.cipher.encrypt(value.encode()).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return value and self.cipher.decrypt(value).decode()


class Key(Base):
    __tablename__ = "key"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    expires_at: Mapped[int]


class Token(Base):
    __tablename__ = "token"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    key_id: Mapped[int] = mapped_column(ForeignKey("key.id"))
    access_token: Mapped[str] = mapped_column(Sealed)
    refresh_token: Mapped[str] = mapped_column(Sealed)
    expires_at: Mapped[int]

    def to_token(self) -> dict[str, object]:
        return {
            "access_token": self.access_token,
            "token_type": "Bearer",
            "refresh_token": self.refresh_token,
            "expires_at": self.expires_at,
        }


def create_app(database: str) -> Flask:
    engine = create_engine(f"sqlite:///{database}")
    sessions = scoped_session(sessionmaker(engine))
    app = Flask("authlib-peer")
    oauth = OAuth(app, fetch_token=lambda *_: _token(sessions(), g.slug, g.key))
    oauth.register("provider", client_id="x", client_secret="x", access_token_url="https://localhost/token")

    app.add_url_rule("/healthz", view_func=lambda: "Hello", endpoint="health")

    @app.get("/links/<slug>/token")
    def token(slug: str) -> object:
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        wanted = hashlib.sha256(shown.encode()).hexdigest()
        g.key, g.slug = sessions().scalar(select(Key).where(Key.digest == wanted)), slug
        if g.key is None or g.key.expires_at < time.time():
            abort(401)
        with oauth.provider._get_oauth_client() as client:
            client.token = oauth.provider._fetch_token(request)
            client.ensure_active_token(client.token)
            found = client.token
        return jsonify({name: found[name] for name in ("access_token", "token_type", "expires_at")})

    @app.teardown_appcontext
    def end(_: object) -> None:
        sessions.remove()

    return app


def _token(session: Session, slug: str, key: Key) -> dict[str, object] | None:
    row = session.scalar(select(Token).where(Token.name == slug, Token.key_id == key.id))
    return row.to_token() if row else None


def make(database: str) -> str:
    """The peer's tables with as many links; returns a key."""
    engine, key = create_engine(f"sqlite:///{database}"), "peer-" + "k" * 40
    Base.metadata.create_all(engine)
    later = int(time.time()) + 10**7
    with Session(engine) as session:
        session.add(Key(id=1, digest=hashlib.sha256(key.encode()).hexdigest(), expires_at=later))
        for number in range(LINKS):
            token = {"access_token": "x" * 200, "refresh_token": "x" * 200, "expires_at": later}
            session.add(Token(name=f"link-{number}", key_id=1, **token))
        session.commit()
    return key
