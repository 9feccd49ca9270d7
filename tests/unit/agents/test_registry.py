import sys

import pytest

from agentfleet.agents import Agent
from agentfleet.agents.registry import Registry
from agentfleet.domain.errors import InvalidInput, NotFound


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module and returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def write(name, text):
        (tmp_path / f"{name}.py").write_text("from agentfleet.agents import Agent, tool\n" + text)
        made.append(name)
        return name

    yield write
    for name in made:
        sys.modules.pop(name, None)


def test_public_agents_of_all_modules_are_found_by_name(module):
    first = module("af_first", "a = Agent(name='alpha', model='m')\n_draft = Agent(name='draft', model='m')\n")
    second = module("af_second", "from af_first import a\nb = Agent(name='beta', model='m')\n")
    registry = Registry.load([first, second])
    assert sorted(registry.agents) == ["alpha", "beta"]
    assert registry.get("beta").name == "beta"
    with pytest.raises(NotFound, match="there are: alpha, beta"):
        registry.get("gamma")


def test_two_agents_of_one_name_are_refused(module):
    first = module("af_one", "a = Agent(name='alpha', model='m')\n")
    second = module("af_two", "a = Agent(name='alpha', model='n')\n")
    with pytest.raises(InvalidInput, match=r"'alpha'; the second is in af_two"):
        Registry.load([first, second])


def test_a_missing_module_is_told_from_a_module_that_misses_something(module):
    with pytest.raises(InvalidInput, match=r"there is no module 'af_nowhere\.agents'"):
        Registry.load(["af_nowhere.agents"])
    with pytest.raises(InvalidInput, match="'af_needy' needs 'af_absent'"):
        Registry.load([module("af_needy", "import af_absent\n")])


def test_a_module_without_agents_or_with_an_impossible_one_is_refused(module):
    with pytest.raises(InvalidInput, match="no public attribute that is an Agent"):
        Registry.load([module("af_empty", "")])
    with pytest.raises(InvalidInput, match=r"'af_wrong' cannot be used: .*lower-case"):
        Registry.load([module("af_wrong", "a = Agent(name='No', model='m')\n")])


def test_a_registry_can_be_made_of_agents():
    agent = Agent(name="alpha", model="m")
    assert Registry([agent]).find("alpha") is agent
    assert Registry().find("alpha") is None
