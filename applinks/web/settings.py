"""Settings: what an administrator decides for oneself, and what the operator has decided."""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from applinks.errors import InvalidFieldError
from applinks.forms.link import tell
from applinks.forms.sign_in import APPEARANCES, AppearanceForm, PasswordForm
from applinks.web.current import actor, services, signed_in

blueprint = Blueprint("settings", __name__, url_prefix="/settings")


@blueprint.get("")
def show() -> ResponseReturnValue:
    appearance = AppearanceForm(formdata=None, appearance=signed_in().administrator.appearance)
    return _page(appearance, PasswordForm(formdata=None))


@blueprint.post("/appearance")
def choose_appearance() -> ResponseReturnValue:
    form = AppearanceForm()
    try:
        services().sign_in.choose_appearance(signed_in().administrator, form.appearance.data or "", actor())
    except InvalidFieldError as error:
        tell(form, error)
        return _page(form, PasswordForm(formdata=None)), 422
    return redirect(url_for("settings.show"), 303)


@blueprint.post("/password")
def change_password() -> ResponseReturnValue:
    form = PasswordForm()
    current, new = form.current_password.data or "", form.password.data or ""
    try:
        services().sign_in.change_password(signed_in(), current, new, actor())
    except InvalidFieldError as error:
        tell(form, error)
        return _page(AppearanceForm(formdata=None, appearance=signed_in().administrator.appearance), form), 422
    flash("Your password was changed. Your other sessions have ended.")
    return redirect(url_for("settings.show"), 303)


@blueprint.post("/test-alert")
def send_test_alert() -> ResponseReturnValue:
    if services().alerts.test():
        flash("A test alert is on its way. What fails is shown here.")
    return redirect(url_for("settings.show"), 303)


def _page(appearance: AppearanceForm, password: PasswordForm) -> str:
    return render_template(
        "settings/show.html",
        appearance=appearance,
        appearances=APPEARANCES,
        password=password,
        unsent=services().alerts.unsent(),
    )
