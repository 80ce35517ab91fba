"""The form of a new API key. Its rules are the service's."""

from flask_wtf import FlaskForm
from wtforms import IntegerField, RadioField, StringField

from applinks.errors import InvalidFieldError

REACH = {"some": "Only these links", "all": "All links, also those made later", "none": "No links: figures alone"}
MAY = {"read": "Read tokens", "manage": "Read tokens and manage links"}


class ApiKeyForm(FlaskForm):  # type: ignore[misc]
    name = StringField("Name", description="What will show it, such as the script or the machine.")
    reach = RadioField("Links", choices=REACH, validate_choice=False)
    links = StringField("Slugs", description="As the links' pages and addresses name them, split by spaces.")
    may = RadioField("What it may do", choices=MAY, validate_choice=False)
    days = IntegerField("Expires after days", description="365 at most.")


def slugs_of(form: ApiKeyForm) -> list[str] | None:
    """The links that were named, None for all, none for monitoring. Raises InvalidFieldError."""
    if form.reach.data not in REACH:
        raise InvalidFieldError("reach", "Choose one of those that are shown.")
    slugs = (form.links.data or "").replace(",", " ").split()
    if form.reach.data == "some" and not slugs:
        raise InvalidFieldError("links", "Choose at least one link, or all links.")
    return {"all": None, "none": []}.get(form.reach.data, slugs)
