"""What providers' refusals mean, and what mends them: one row a code, with its source.

RFC 8414 and RFC 9207 have no codes of their own: what is wrong by them is said where it is found, in `oauth/answers` and
`services/dance`. A code that only one provider uses is known wherever it comes from: a custom link may lead there, too. Facts
marked "not checked" come from experience with the provider, not from a page of its documentation.
"""

import re
from dataclasses import dataclass
from typing import Literal

Stage = Literal["authorization", "code", "refresh"]
"""Where a refusal came: at the callback, for a code (or client credentials), or at a refresh."""

Means = Literal["", "reconnect", "settings"]


@dataclass(frozen=True)
class Refusal:
    """One row. `code` is `error` of RFC 6749, or a number that the provider writes into its words.

    `words` is what the provider's own words must hold, `stages` where the row counts, empty for everywhere. `means` says
    what a refresh that ends so needs, where the code isn't one of RFC 6749: `reconnect` only where the refresh token itself
    was refused, since nothing is tried again after it.
    """

    code: str
    cause: str
    mend: str
    source: str
    words: str = ""
    stages: tuple[Stage, ...] = ()
    provider: str = ""
    means: Means = ""


_RFC6749 = "RFC 6749 §4.1.2.1, §5.2"
_OPENID = "OpenID Connect Core 1.0 §3.1.2.6"
_ENTRA = "https://learn.microsoft.com/entra/identity-platform/reference-error-codes"
_GOOGLE = "https://developers.google.com/identity/protocols/oauth2/web-server"
_GITHUB = "https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors"
_GITHUB_AUTHORIZATION = (
    "https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-authorization-request-errors"
)
_SLACK = "https://docs.slack.dev/reference/methods/oauth.v2.access"
_ATLASSIAN = "https://developer.atlassian.com/cloud/oauth/getting-started/refresh-tokens/"
_AGAIN = "Choose Connect and try again."
_RECONNECT = "Choose Reconnect."
_ONCE_MORE = "Connect the account again."  # where the button is Connect at a callback, and Reconnect after a refresh
_SECRET = "Make a new client secret at the provider and type it with Edit."  # noqa: S105 (a sentence)
_SCOPES = "Correct Scopes with Edit."
_REDIRECT = "Copy the Redirect URL from the link's page and register it at the provider, to the letter."
_TENANT = "Correct Tenant with Edit: the directory's GUID or one of its domains."
_ADMIN = "Ask an administrator of the provider's directory to allow the application, then connect again."

REFUSALS = (
    # RFC 6749
    Refusal(
        "access_denied",
        "Access was denied at the provider.",
        "To connect the account, allow it there.",
        _RFC6749,
        stages=("authorization",),
    ),
    Refusal(
        "invalid_client", "The provider refused the client ID or the client secret.", "Check them with Edit.", _RFC6749
    ),
    Refusal(
        "unauthorized_client",
        "The provider refused the client ID or the client secret.",
        "Check them with Edit.",
        _RFC6749,
        stages=("code", "refresh"),
    ),
    Refusal(
        "unauthorized_client",
        "The provider doesn't let this client ID ask for access in this way.",
        "Allow the authorization code grant for it in the provider's console, or correct Client ID with Edit.",
        _RFC6749,
        stages=("authorization",),
    ),
    Refusal("invalid_scope", "The provider refused the scopes.", "Check them with Edit.", _RFC6749),
    Refusal(
        "invalid_grant",
        "The provider refused to give a token: to it, the code was used, too old, or given to another Redirect URL.",
        _AGAIN,
        _RFC6749,
        stages=("code",),
    ),
    Refusal(
        "invalid_grant", "The provider no longer accepts this grant.", _RECONNECT, _RFC6749, stages=("refresh",)
    ),
    Refusal(
        "unsupported_grant_type",
        "The provider refused to give a token: its token endpoint doesn't know this grant type.",
        "Check the grant type and the token endpoint with Edit.",
        _RFC6749,
    ),
    Refusal(
        "unsupported_response_type",
        "The provider refused to give access: it doesn't offer the authorization code grant here.",
        "Check the authorization endpoint with Edit.",
        _RFC6749,
    ),
    Refusal(
        "invalid_request",
        "The provider refused to give access: something that it needs is missing, or sent in a way that it doesn't take.",
        "Compare Scopes and what is under Advanced with the provider's documentation, with Edit.",
        _RFC6749,
        stages=("authorization",),
    ),
    Refusal(
        "server_error", "The provider refused to give access: it failed itself.", "Connect again in a while.", _RFC6749
    ),
    Refusal(
        "temporarily_unavailable",
        "The provider refused to give access: it is busy or being repaired.",
        "Connect again in a while.",
        _RFC6749,
    ),
    Refusal(
        "invalid_target",
        "The provider doesn't know what the token is to be for (resource or audience).",
        "Correct the extra parameters under Advanced with Edit.",
        "RFC 8707 §2",
        means="settings",
    ),
    # OpenID Connect
    Refusal("login_required", "The provider wants the person to sign in there again.", _ONCE_MORE, _OPENID),
    Refusal("consent_required", "The provider wants the person's consent again.", _ONCE_MORE, _OPENID),
    Refusal("interaction_required", "The provider has a question for the person.", _ONCE_MORE, _OPENID),
    Refusal(
        "account_selection_required", "The provider wants the person to choose an account.", _AGAIN, _OPENID,
        means="reconnect",
    ),
    Refusal(
        "request_not_supported",
        "The provider refused a request parameter that it doesn't know.",
        "Take it out of the extra authorization parameters under Advanced, with Edit.",
        _OPENID,
    ),
    # Microsoft
    Refusal("AADSTS7000222", "The client secret has expired.", _SECRET, _ENTRA),
    Refusal(
        "AADSTS7000215",
        "The client secret is wrong: often it is the secret's ID in place of its value.",
        "Type the value of a client secret with Edit; Microsoft shows it only when it is made.",
        _ENTRA,
    ),
    Refusal(
        "AADSTS7000218",
        "Microsoft got no client secret from this application.",
        "Set client authentication to client_secret_post and type the secret with Edit.",
        _ENTRA,
    ),
    Refusal(
        "AADSTS700025",
        "To Microsoft the application is a public client, which has no client secret.",
        "Register the Redirect URL under the platform Web, or choose none as client authentication with Edit.",
        _ENTRA,
    ),
    Refusal(
        "AADSTS700016",
        "The directory has no application of this client ID.",
        "Check Client ID (the Application ID of the registration) and Tenant with Edit.",
        _ENTRA,
    ),
    Refusal("AADSTS90002", "There is no directory of this tenant.", _TENANT, _ENTRA),
    Refusal("AADSTS900023", "The tenant is no GUID and no domain.", _TENANT, _ENTRA),
    Refusal(
        "AADSTS50194",
        "The application is registered for one directory, so the tenant can't be common.",
        _TENANT,
        _ENTRA,
    ),
    Refusal("AADSTS50011", "The Redirect URL isn't registered for this application.", _REDIRECT, _ENTRA),
    Refusal("AADSTS500113", "No Redirect URL is registered for this application.", _REDIRECT, _ENTRA),
    Refusal(
        "AADSTS9002326",
        "The Redirect URL is registered under the platform Single-page application.",
        "Register it under the platform Web instead.",
        _ENTRA,
    ),
    Refusal("AADSTS65001", "Nobody has consented to these scopes for this application.", _ONCE_MORE, _ENTRA),
    Refusal("AADSTS65004", "The person declined to consent.", "To connect the account, allow it at Microsoft.", _ENTRA),
    Refusal("AADSTS90094", "Only an administrator of the directory can consent to these scopes.", _ADMIN, _ENTRA),
    Refusal("AADSTS650052", "The directory has no subscription to a service that is asked for.", _ADMIN, _ENTRA),
    Refusal(
        "AADSTS650056",
        "The application isn't allowed what is asked for.",
        "Add the permissions under API permissions of the app registration, then connect again.",
        _ENTRA,
    ),
    Refusal("AADSTS70011", "A scope isn't written as Microsoft wants it.", _SCOPES, _ENTRA),
    Refusal("AADSTS650053", "A scope doesn't exist at the service that it is for.", _SCOPES, _ENTRA),
    Refusal("AADSTS500011", "The directory doesn't know the service that a scope names.", _SCOPES, _ENTRA),
    Refusal("AADSTS50076", "Microsoft wants the person to prove who they are in a second way.", _ONCE_MORE, _ENTRA),
    Refusal(
        "AADSTS50079",
        "Microsoft wants the person to set up a second way of proving who they are.",
        "Choose Reconnect, and set it up when Microsoft asks for it.",
        _ENTRA,
    ),
    Refusal("AADSTS53000", "Conditional Access wants a device that the organisation manages.", _ADMIN, _ENTRA),
    Refusal("AADSTS53003", "A Conditional Access policy blocks this access.", _ADMIN, _ENTRA),
    Refusal("AADSTS50105", "The person isn't assigned to the application.", _ADMIN, _ENTRA),
    Refusal(
        "AADSTS50020",
        "The account belongs to another directory than the tenant.",
        "Connect an account of that directory, or correct Tenant with Edit.",
        _ENTRA,
    ),
    Refusal(
        "AADSTS50034",
        "The account doesn't exist in the directory.",
        "Connect an account of that directory, or correct Tenant with Edit.",
        _ENTRA,
    ),
    Refusal("AADSTS50057", "The account is disabled.", "Have it enabled, then choose Reconnect.", _ENTRA),
    Refusal("AADSTS50173", "The grant ended when the account's password was changed or reset.", _RECONNECT, _ENTRA),
    Refusal("AADSTS700082", "The refresh token wasn't used for too long, and has expired.", _RECONNECT, _ENTRA),
    Refusal("AADSTS70043", "A sign-in frequency policy of the directory has ended the grant.", _RECONNECT, _ENTRA),
    Refusal("AADSTS70008", "The code or the refresh token has expired.", _ONCE_MORE, _ENTRA),
    Refusal("AADSTS54005", "The code was used already.", _AGAIN, _ENTRA),
    Refusal(
        "AADSTS90014",
        "A field that Microsoft needs is missing from the request, on a refresh often the scope.",
        "Under Advanced, set Send scope on refresh to Yes with Edit.",
        _ENTRA,
    ),
    # Google
    Refusal(
        "redirect_uri_mismatch", "The Redirect URL isn't registered for this client ID.", _REDIRECT, _GOOGLE,
        means="settings",
    ),
    Refusal(
        "access_denied",
        "Access was denied at Google.",
        "To connect the account, allow it there; while the consent screen is in Testing, add the account to its test users.",
        _GOOGLE,
        stages=("authorization",),
        provider="google",
    ),
    Refusal(
        "invalid_grant",
        "Google has ended the grant: access was taken back, the password was changed, or the consent screen is in Testing, "
        "where grants end after seven days.",
        "Publish the app on the consent screen if it is in Testing, then choose Reconnect.",
        _GOOGLE,
        words="expired or revoked",
        stages=("refresh",),
    ),
    Refusal(
        "invalid_grant", "An administrator's session policy wants the person to sign in at Google again.", _RECONNECT,
        _GOOGLE, words="rapt",
    ),
    Refusal(
        "invalid_grant", "Google can't read the code.", _AGAIN, f"{_GOOGLE} (not checked)", words="Malformed auth code"
    ),
    Refusal("admin_policy_enforced", "The Google Workspace administrator allows this application no access.", _ADMIN,
            _GOOGLE, means="settings"),
    Refusal("org_internal", "The application is for accounts of its own organisation only.",
            "Connect an account of that organisation, or make the consent screen External.", _GOOGLE, means="settings"),
    Refusal("deleted_client", "The client was deleted at Google.",
            "Make a new one in the Google Cloud console and type its client ID and secret with Edit.", _GOOGLE,
            means="settings"),
    Refusal("disabled_client", "The client is disabled at Google.", "Enable it in the Google Cloud console.",
            f"{_GOOGLE} (not checked)", means="settings"),
    # GitHub
    Refusal("incorrect_client_credentials", "GitHub refused the client ID or the client secret.",
            "Check them with Edit.", _GITHUB, means="settings"),
    Refusal("bad_verification_code", "To GitHub the code was used, or too old.", _AGAIN, _GITHUB),
    Refusal("bad_refresh_token", "GitHub no longer accepts the refresh token.", _RECONNECT,
            "https://docs.github.com/apps (not checked)", means="reconnect"),
    Refusal("unverified_user_email", "The account's e-mail address isn't verified at GitHub.",
            "Verify it there, then connect again.", _GITHUB, means="settings"),
    Refusal("application_suspended", "GitHub has suspended the application.",
            "Ask GitHub's support why, in the application's settings there.", _GITHUB_AUTHORIZATION, means="settings"),
    # Slack
    Refusal("bad_client_secret", "Slack refused the client secret.", _SECRET, _SLACK, means="settings"),
    Refusal("invalid_client_id", "Slack doesn't know the client ID.", "Correct Client ID with Edit.", _SLACK,
            means="settings"),
    Refusal("bad_redirect_uri", "The Redirect URL isn't registered at Slack.", _REDIRECT, _SLACK, means="settings"),
    Refusal("invalid_code", "Slack doesn't accept the code.", _AGAIN, _SLACK),
    Refusal("code_already_used", "The code was used already.", _AGAIN, _SLACK),
    Refusal("invalid_refresh_token", "Slack no longer accepts the refresh token.", _RECONNECT, _SLACK,
            means="reconnect"),
    Refusal("token_revoked", "The grant was ended at Slack.", _RECONNECT, f"{_SLACK} (not checked)", means="reconnect"),
    Refusal("account_inactive", "The account or its workspace was removed at Slack.", _RECONNECT,
            f"{_SLACK} (not checked)", means="settings"),
    # Atlassian
    Refusal("invalid_grant", "Atlassian has ended the grant: its refresh token was used already, or not for 90 days.",
            _RECONNECT, _ATLASSIAN, words="Unknown or invalid refresh token", stages=("refresh",)),
)  # fmt: skip

_CODE_IN_WORDS = re.compile(r"AADSTS[0-9]{5,7}")


def explain(stage: Stage, code: str, words: str = "", provider: str = "") -> Refusal | None:
    """The row that says most about a refusal, None for a code that isn't known.

    A number in the provider's words says more than the code; a row for a provider or for certain words more than one for
    all.
    """
    numbers = _CODE_IN_WORDS.findall(words)
    fitting = [
        row
        for row in REFUSALS
        if row.code in (*numbers, code)
        and row.words.lower() in words.lower()
        and (not row.stages or stage in row.stages)
        and row.provider in ("", provider)
    ]
    return max(fitting, key=lambda row: (row.code in numbers, bool(row.words), bool(row.provider)), default=None)
