"""`check`: how everything is, for the console."""

from peewee import DatabaseError, InterfaceError

from applinks.cli.output import moment, say
from applinks.services.inspection import Inspected
from applinks.web.words import state_words
from applinks.wiring import Services


def check(services: Services) -> int:
    """Say how everything is; the exit status is 1 where somebody must act."""
    settings = services.settings
    health, damage = services.health.report(), services.inspection.damage()
    how = (damage or "sound") if health.database else "which doesn't answer as it should"
    say(f"Database: {settings.database_place}, {how}{', can only be read' if health.read_only else ''}")
    seen = f", last seen {moment(health.seen_at)}" if health.seen_at else ""
    say(f"Refresher: {'; '.join(health.places) or 'stopped'}{seen}")
    try:
        connections = services.inspection.connections()
    except (DatabaseError, InterfaceError) as error:
        say(f"The connections can't be read: {error}.{' Restore a backup of the database.' if damage else ''}")
        return 1
    for found in connections:
        say(f"{found.link.slug} {found.connection.label}: {'; '.join(_facts(found))}")
        for event in found.events:
            times = f", {event.count} times" if event.count > 1 else ""
            by = f" by {event.actor}" if event.actor else ""
            say(f"    {moment(event.last_at)}  {event.what}{times}{by}{f': {event.words}' if event.words else ''}")
    waiting = sum(found.needs_a_person for found in connections)
    well = f"{len(connections) - waiting} of {len(connections)} connections are well."
    say(well if connections else "There are no connections yet.")
    stopped = health.anything_to_refresh and not health.refreshing
    return 1 if damage or waiting or stopped or health.read_only else 0


def _facts(found: Inspected) -> list[str]:
    row, words = found.connection, state_words(found.state)
    facts = [words.label, row.account, row.words if found.state == row.state else words.why]
    facts += [
        f"{what} {moment(at)}" for what, at in (("expires", row.expires_at), ("refreshed", row.refreshed_at)) if at
    ]
    return [fact for fact in facts if fact]
