"""What the queries of a page cost on the database of the environment, best of many: `python -m benchmarks.queries`."""

import time
from collections.abc import Callable

from applinks import create_app
from applinks.models import ApplicationLink, database
from applinks.wiring import Services


def best(query: Callable[[], object]) -> float:
    """Seconds."""
    costs = []
    for _ in range(60):
        began = time.perf_counter()
        query()
        costs.append(time.perf_counter() - began)
    return min(costs)


if __name__ == "__main__":
    services: Services = create_app().extensions["applinks"]
    names = ApplicationLink.select(ApplicationLink.name_key).order_by(ApplicationLink.name_key)
    middle = names.offset(ApplicationLink.select().count() // 2).get().name_key
    for name, query in {
        "first page": lambda: services.links.page(),
        "page in the middle": lambda: services.links.page(after=middle),
        "search with hits": lambda: services.links.page("app"),
        "search without a hit": lambda: services.links.page("nobody"),
    }.items():
        print(name, best(query))
    database.close()
