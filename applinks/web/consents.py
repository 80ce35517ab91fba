"""Authorized applications: what the administrator who is signed in has allowed, and taking that back."""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from applinks.web.current import actor, services, signed_in

blueprint = Blueprint("consents", __name__, url_prefix="/authorized-applications")


@blueprint.get("")
def index() -> ResponseReturnValue:
    """The applications that the administrator who is signed in has allowed something."""
    consents = services().consents.of_administrator(signed_in().administrator_id)
    return render_template("consents/index.html", consents=consents)


@blueprint.get("/<consent_id>/revoke")
def confirm_revoke(consent_id: str) -> ResponseReturnValue:
    given = services().consents.find(consent_id, administrator_id=signed_in().administrator_id)
    return render_template("consents/revoke.html", given=given, back=url_for("consents.index"))


@blueprint.post("/<consent_id>/revoke")
def revoke(consent_id: str) -> ResponseReturnValue:
    given = services().consents.find(consent_id, administrator_id=signed_in().administrator_id)
    services().consents.revoke(given, actor())
    flash(f"{given.consent.link.name} may do nothing for you any more.")
    return redirect(url_for("consents.index"), 303)
