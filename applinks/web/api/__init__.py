"""The HTTP API, version 1: what scripts ask for, in JSON. `description` says it in OpenAPI."""

from flask import Blueprint

from applinks.web.api import checks, connections, events, links, tokens
from applinks.web.api.description import describe

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
for part in (tokens, links, checks, connections, events):
    blueprint.register_blueprint(part.blueprint)
describe(blueprint)
