"""The corpus is as large as it is said to be, and every case has its own reason."""

import pytest

from tests.corpus.cases import load

AT_LEAST = {
    "token_responses": 180,
    "transport": 50,
    "callbacks": 60,
    "admin_input": 150,
    "addresses": 100,
    "metadata_documents": 30,
    "script_payloads": 50,
    "api_auth": 40,
}


@pytest.mark.parametrize("name", AT_LEAST)
def test_it_holds_as_many_cases_as_promised(name: str) -> None:
    """`load` itself refuses a case without a reason, and an identifier that stands twice."""
    assert len(load(name)) >= AT_LEAST[name]
