"""Notion. https://developers.notion.com/guides/get-started/authorization

Token requests are JSON, with the client in a Basic header. There are no scopes: what a connection may do is ticked in its
settings there. A refresh gives a new refresh token.
"""

from applinks.providers.profile import Provider

NOTION = Provider(
    key="notion",
    name="Notion",
    summary="Pages and databases at notion.so",
    authorization_endpoint="https://api.notion.com/v1/oauth/authorize",
    token_endpoint="https://api.notion.com/v1/oauth/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://api.notion.com/v1/users/me",
    account="bot.owner.user.person.email",
    userinfo_headers=(("Notion-Version", "2022-06-28"),),
    authorization_parameters=(("owner", "user"),),
    client_authentication="client_secret_basic",
    json_body=True,
    client_id_form="[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}",
    rotates=True,
    console_url="https://www.notion.so/developers/connections",
    console_name="Notion, Connections",
    guide=(
        "Choose New connection and the type Public.",
        "Under OAuth Domain & URIs paste {redirect_url} as a redirect URI.",
        "Under Capabilities tick what the link is to do: Notion has no scopes, so Scopes stays empty.",
        "Save, then copy OAuth client ID and OAuth client secret.",
    ),
    documentation_url="https://developers.notion.com/guides/get-started/authorization",
    checked="2026-11-27",
    unchecked="how long tokens live, the form of client IDs",
)
