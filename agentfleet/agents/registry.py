"""The agents that this deployment knows, found in the modules that ``AGENTFLEET_AGENTS`` names."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType, ModuleType

from agentfleet.agents.agent import Agent
from agentfleet.domain.errors import InvalidInput, NotFound

_FIELD = "AGENTFLEET_AGENTS"


class Registry:
    """Agents by name."""

    def __init__(self, agents: Iterable[Agent] = ()) -> None:
        self._agents: dict[str, Agent] = {}
        for agent in agents:
            self._add(agent, "the list")

    @classmethod
    def load(cls, modules: Sequence[str]) -> "Registry":
        """Import ``modules`` and collect the agents that are their public attributes.

        Raises ``InvalidInput`` when a module is missing or fails, holds no agent, or a name is taken twice.
        """
        registry = cls()
        for name in modules:
            registry._collect(_imported(name))
        return registry

    @property
    def agents(self) -> Mapping[str, Agent]:
        """All of them, by name."""
        return MappingProxyType(self._agents)

    def find(self, name: str) -> Agent | None:
        """The agent of that name, if this deployment knows it."""
        return self._agents.get(name)

    def get(self, name: str) -> Agent:
        """Raises ``NotFound`` and says which there are."""
        agent = self._agents.get(name)
        if agent is None:
            raise NotFound(f"there is no agent {name!r}; there are: {', '.join(sorted(self._agents)) or 'none'}")
        return agent

    def _collect(self, module: ModuleType) -> None:
        found = [value for name, value in vars(module).items() if isinstance(value, Agent) and not name.startswith("_")]
        if not found:
            raise InvalidInput(_FIELD, f"the module {module.__name__!r} has no public attribute that is an Agent")
        for agent in found:
            self._add(agent, module.__name__)

    def _add(self, agent: Agent, where: str) -> None:
        known = self._agents.setdefault(agent.name, agent)
        if known is not agent:  # the same agent imported into two modules is one agent
            raise InvalidInput(_FIELD, f"two agents are called {agent.name!r}; the second is in {where}")


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise InvalidInput(_FIELD, f"there is no module {name!r} on the import path") from None
        raise InvalidInput(_FIELD, f"the module {name!r} needs {error.name!r}, which is not installed") from error
    except InvalidInput as error:
        raise InvalidInput(_FIELD, f"the module {name!r} cannot be used: {error}") from error
