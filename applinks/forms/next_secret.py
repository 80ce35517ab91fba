"""The form of a link's next client secret."""

from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField

from applinks.errors import InvalidFieldError
from applinks.oauth.registration import read_client_secret, read_day


class NextSecretForm(FlaskForm):  # type: ignore[misc]
    client_secret = PasswordField("Next client secret", description="Kept encrypted, and never shown again.")
    client_secret_ends = StringField(
        "It ends (optional)", description="The day, if the provider lets it end: Applinks warns 30 days before."
    )
    version = HiddenField()


def read(form: NextSecretForm) -> tuple[str, int | None] | None:
    """The secret and when it ends, or None with an error at each field that is wrong."""
    secret, ends_at = "", None
    try:
        secret = read_client_secret(form.client_secret.data or "", needed=True) or ""
    except InvalidFieldError as error:
        form.client_secret.errors = [str(error)]
    try:
        ends_at = read_day(form.client_secret_ends.data or "")
    except InvalidFieldError as error:
        form.client_secret_ends.errors = [str(error)]
    return None if form.errors else (secret, ends_at)
