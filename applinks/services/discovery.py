"""Finding a provider's endpoints by its issuer (RFC 8414, OpenID Connect Discovery 1.0), as fields of a link's form."""

from collections.abc import Mapping
from dataclasses import dataclass

from applinks.errors import InvalidFieldError
from applinks.oauth.answers import Metadata, safe_text
from applinks.oauth.client import OAuthClient

_KNOWN = ("client_secret_basic", "client_secret_post")


@dataclass(frozen=True)
class Found:
    """What metadata says: `fields` of the form, `scopes` to offer, and `notes` on what a form has no field for."""

    fields: Mapping[str, str]
    scopes: tuple[str, ...]
    notes: tuple[str, ...]


class Discovery:
    def __init__(self, client: OAuthClient) -> None:
        self._client = client

    def find(self, issuer: str) -> Found:
        """Ask an issuer, and store nothing. Raises InvalidFieldError, at the issuer."""
        issuer = issuer.strip()
        if not issuer:
            raise InvalidFieldError("issuer", "Write the provider's issuer, such as https://id.example.com.")
        metadata = self._client.metadata(issuer)
        if not isinstance(metadata, Metadata):
            raise InvalidFieldError(
                "issuer", f"No endpoints were found. {metadata.words} You can fill them in by hand as well."
            )
        return Found(fields_of(metadata), metadata.scopes, _notes(metadata))


def fields_of(metadata: Metadata) -> dict[str, str]:
    """The fields of a link that metadata decides; empty where it names nothing, or leaves a choice."""
    methods = [method for method in _KNOWN if method in metadata.client_authentications]
    only = methods[0] if len(methods) == 1 else ""
    public = not methods and "none" in metadata.client_authentications
    return {
        "issuer": metadata.issuer,
        "authorization_endpoint": metadata.authorization_endpoint,
        "token_endpoint": metadata.token_endpoint,
        "userinfo_endpoint": metadata.userinfo_endpoint,
        "revocation_endpoint": metadata.revocation_endpoint,
        "client_authentication": "none" if public else only,
        "iss_required": "yes" if metadata.promises_iss else "",
    }


def _notes(metadata: Metadata) -> tuple[str, ...]:
    notes = []
    methods = metadata.client_authentications
    if not {*_KNOWN, "none"} & set(methods):
        notes.append(
            f"It names no client authentication that Applinks knows, but {safe_text(', '.join(methods), 200)}."
        )
    if metadata.code_challenge_methods is None:
        notes.append("It says nothing of PKCE. Applinks always sends a code challenge (S256), which does no harm.")
    elif "S256" in metadata.code_challenge_methods:
        notes.append("It knows PKCE with S256, which Applinks always sends.")
    else:
        notes.append("It doesn't name PKCE with S256, which Applinks always sends: it may refuse to connect.")
    if metadata.promises_iss:
        notes.append("It promises to name itself in every answer (iss), so that an answer without is refused.")
    if metadata.introspection_endpoint:
        notes.append("It has an introspection endpoint, which Applinks doesn't need.")
    return tuple(notes)
