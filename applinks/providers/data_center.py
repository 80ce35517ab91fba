"""What Atlassian's Data Center products have in common: the incoming link of their own Application links.

A refresh without `redirect_uri` is refused with a bare invalid_grant. Their base URL and the Redirect URL must be https, unless
that is switched off there.
"""

from applinks.providers.places import host, path
from applinks.providers.profile import Provider, Scope


def data_center(
    product: str,
    *,
    key: str,
    summary: str,
    example: str,
    scopes: tuple[Scope, ...],
    userinfo: str,
    documentation_url: str,
    unchecked: str,
) -> Provider:
    """One product's drawer; `userinfo` is the path of its userinfo endpoint, empty for none. The first scope is the default."""
    base, oauth = "https://{host}{path}", "https://{host}{path}/rest/oauth2/latest"
    return Provider(
        key=key,
        name=f"{product} Data Center",
        summary=summary,
        authorization_endpoint=f"{oauth}/authorize",
        token_endpoint=f"{oauth}/token",
        userinfo_endpoint=f"{base}{userinfo}" if userinfo else None,
        revocation_endpoint=f"{oauth}/revoke",
        places=(host(example), path(f"Where {product} isn't at the top of its host, such as /{product.lower()}.")),
        default_scopes=(scopes[0].name,),
        usual_scopes=scopes,
        client_authentication="client_secret_post",
        redirect_uri_on_refresh=True,
        rotates=True,
        refresh_idle_life=90 * 86_400,
        refuses_http_redirects=True,
        guide=(
            f"In {product} open Administration, Application links, and choose Create link.",
            "Choose External application and the direction Incoming.",
            "Paste {redirect_url} as Redirect URL and choose the permission {scopes}.",
            "Choose Save and copy Client ID and Client secret.",
        ),
        documentation_url=documentation_url,
        checked="2026-11-27",
        unchecked=unchecked,
    )
