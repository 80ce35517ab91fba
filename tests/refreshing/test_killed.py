"""kill -9 anywhere: what was interrupted is taken up again, and a grant is lost only where the provider leaves no way.

Here a hundred kills or so; `make soak` is the long form of the same.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from applinks.settings import Settings
from tests.refreshing.killing import POINTS, PROVIDERS_POINTS, Trial, shuffled
from tests.rotating import RotatingProvider

CYCLES = 22
# Longer than a busy machine needs for a start, and half of what waiting for the dead one's lease would take.
GRACE = 30.0

Begin = Callable[[float], Trial]


@pytest.fixture
def begin(settings: Settings, caplog: pytest.LogCaptureFixture) -> Iterator[Begin]:
    """Makes a trial with a provider of some grace, 0 for none."""
    caplog.set_level(logging.INFO, "peewee")  # the test's own looks, thousands of them
    with ExitStack() as stack:

        def begin(grace: float) -> Trial:
            provider = stack.enter_context(RotatingProvider(grace=grace))
            trial = Trial(settings.data_dir, settings.database_url, provider)
            stack.callback(trial.close)
            return trial

        yield begin


def kill(trial: Trial) -> None:
    for point in shuffled(POINTS, CYCLES, seed=CYCLES):
        trial.cycle(point)
    trial.finish()
    assert trial.figures.wrong == []
    assert trial.figures.left.total() >= CYCLES // 2, "most kills came while a refresh was under way"


def test_it_loses_nothing_where_a_lost_answer_is_forgiven(begin: Begin) -> None:
    """C3: a worker killed at every point, with a provider that takes a refresh token again for a while."""
    trial = begin(GRACE)
    kill(trial)
    assert trial.figures.lost.total() == 0
    assert trial.figures.rotated > 0


def test_it_loses_only_what_was_cut_off_between_a_strict_provider_and_the_commit(begin: Begin) -> None:
    """C3: each ends as `reconnect_needed`, and says why; nothing else is lost, and no retired token is sent but there."""
    trial = begin(0.0)
    kill(trial)
    assert trial.figures.lost.total() == trial.figures.rotated > 0


def test_it_keeps_the_earlier_grant_where_reconnecting_is_cut_off(begin: Begin) -> None:
    """C3: a server killed while it exchanges a code. The callback counts once all the same, and the next one works."""
    trial = begin(0.0)
    trial.callbacks(list(PROVIDERS_POINTS))
    trial.add_up()
    assert trial.figures.wrong == []


def test_it_migrates_whole_or_not_at_all(begin: Begin) -> None:
    """C3: a start killed in a migration, and started again."""
    trial = begin(0.0)
    for _ in range(3):
        trial.migration()
    trial.add_up()
    assert trial.figures.wrong == []
