"""The forms of signing in, setting up and settings. Their rules are the services'."""

from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, RadioField, StringField

APPEARANCES = {"system": "As the system", "light": "Light", "dark": "Dark"}


class SignInForm(FlaskForm):  # type: ignore[misc]
    username = StringField("User name", render_kw={"autocomplete": "username", "autocapitalize": "none"})
    password = PasswordField("Password", render_kw={"autocomplete": "current-password"})
    next = HiddenField()
    draft = HiddenField()


class SetupForm(FlaskForm):  # type: ignore[misc]
    username = StringField("User name", render_kw={"autocomplete": "username", "autocapitalize": "none"})
    password = PasswordField(
        "Password",
        description="12 characters or more. A few words that don't belong together are easy to keep and hard to guess.",
        render_kw={"autocomplete": "new-password"},
    )


class PasswordForm(FlaskForm):  # type: ignore[misc]
    current_password = PasswordField("Current password", render_kw={"autocomplete": "current-password"})
    password = PasswordField(
        "New password", description="12 characters or more.", render_kw={"autocomplete": "new-password"}
    )


class AppearanceForm(FlaskForm):  # type: ignore[misc]
    appearance = RadioField("Appearance", validate_choice=False)
