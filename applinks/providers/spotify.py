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
    redirect_rule="Paste it under Redirect URIs in the app's settings: https, or http at 127.0.0.1.",
)
