"""Discord. https://docs.discord.com/developers/topics/oauth2

An access token lives for seven days. Where the account is told, and the rules for redirect URLs, were read in public
catalogues, not on Discord's pages.
"""

from applinks.providers.profile import Provider, Scope

DISCORD = Provider(
    key="discord",
    name="Discord",
    summary="Accounts and servers at discord.com",
    authorization_endpoint="https://discord.com/oauth2/authorize",
    token_endpoint="https://discord.com/api/oauth2/token",  # noqa: S106 (an address)
    userinfo_endpoint="https://discord.com/api/users/@me",
    revocation_endpoint="https://discord.com/api/oauth2/token/revoke",
    default_scopes=("identify",),
    usual_scopes=(
        Scope("identify", "who the account is"),
        Scope("email", "its e-mail address"),
        Scope("guilds", "see which servers it belongs to"),
    ),
    client_authentication="client_secret_post",
    console_url="https://discord.com/developers/applications",
    console_name="Discord developer portal",
    client_id_form="[0-9]{17,20}",
    guide=(
        "Choose New Application and open OAuth2.",
        "Under Redirects choose Add Redirect, paste {redirect_url} and choose Save Changes.",
        "Copy Client ID; choose Reset Secret and copy the client secret at once.",
    ),
    documentation_url="https://docs.discord.com/developers/topics/oauth2",
    checked="2026-11-27",
    unchecked="the userinfo endpoint, the form of client IDs and the rules for redirect URLs",
)
