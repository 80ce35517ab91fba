"""Spotify. https://developer.spotify.com/documentation/web-api/tutorials/refreshing-tokens

A consent ends six months after it was given, whatever is refreshed meanwhile
(https://developer.spotify.com/blog/2026-06-18-refresh-token-expiration). The rules for redirect URLs were not checked.
"""

from applinks.providers.profile import Provider, Scope

SPOTIFY = Provider(
    key="spotify",
    name="Spotify",
    summary="Playlists and playback at spotify.com",
    authorization_endpoint="https://accounts.spotify.com/authorize",
    token_endpoint="https://accounts.spotify.com/api/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://api.spotify.com/v1/me",
    default_scopes=("user-read-email",),
    usual_scopes=(
        Scope("user-read-email", "the account's e-mail address"),
        Scope("playlist-read-private", "see private playlists"),
        Scope("playlist-modify-private", "change private playlists"),
    ),
    client_authentication="client_secret_basic",
    console_url="https://developer.spotify.com/dashboard",
    console_name="Spotify developer dashboard",
    rotates=False,
    consent_life=182 * 86_400,
    client_id_form="[0-9a-f]{32}",
    guide=(
        "Choose Create app and give it a name.",
        "Paste {redirect_url} under Redirect URIs and choose Add. It must be https, or http at 127.0.0.1.",
        "Tick Web API, accept the terms and choose Save.",
        "Under Settings copy Client ID; choose View client secret and copy it.",
    ),
    documentation_url="https://developer.spotify.com/documentation/web-api/tutorials/code-flow",
    checked="2026-11-27",
    unchecked="the form of client IDs",
)
