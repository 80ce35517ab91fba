"""*Check this link*: part by part as the answers come, or all at once where there are no scripts."""

import re

from flask import Blueprint, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue

from applinks.services.checks import PARTS, is_reached
from applinks.services.findings import Finding, Result
from applinks.web.current import actor, services
from applinks.web.gate import from_applications
from applinks.web.waiting import a_place_to_wait

blueprint = Blueprint("checks", __name__)

_NONCE = re.compile(r"[0-9a-f]{32}")


@blueprint.get("/nonce/<nonce>")
@from_applications
def nonce(nonce: str) -> ResponseReturnValue:
    """Proof that this Applinks answers here, and no other: for its own checks."""
    if not _NONCE.fullmatch(nonce):
        abort(404)
    return services().checks.answer(nonce), 200, {"Content-Type": "text/plain", "Cache-Control": "no-store"}


@blueprint.get("/links/<slug>/checks")
def show(slug: str) -> ResponseReturnValue:
    return render_template("links/checks.html", outgoing=services().links.outgoing(slug), findings=[])


@blueprint.post("/links/<slug>/checks")
def everything(slug: str) -> ResponseReturnValue:
    outgoing = services().links.outgoing(slug)
    with a_place_to_wait():
        findings = services().checks.everything(outgoing, actor())
    return render_template("links/checks.html", outgoing=outgoing, findings=findings, failed=_failed(findings))


@blueprint.post("/links/<slug>/checks/<part>")
def run(slug: str, part: str) -> ResponseReturnValue:
    """One part, and what asks for the next one; the query holds what the parts before it have come to."""
    if part not in PARTS:
        abort(404)
    outgoing, reached = services().links.outgoing(slug), request.args.get("reached") != "no"
    with a_place_to_wait():
        findings = services().checks.run(outgoing, part, actor(), reached=reached)
    reached = reached and is_reached(findings)
    failed = min(max(request.args.get("failed", 0, int), 0), 100) + _failed(findings)
    after = PARTS[PARTS.index(part) + 1 :]
    following = ""
    if after:
        following = url_for(
            "checks.run", slug=slug, part=after[0], reached=None if reached else "no", failed=failed or None
        )
    return render_template(
        "links/_findings.html",
        outgoing=outgoing,
        findings=findings,
        following=following,
        part=after[0] if after else "",
        failed=failed,
    )


def _failed(findings: list[Finding]) -> int:
    return sum(finding.result is Result.FAILED for finding in findings)
