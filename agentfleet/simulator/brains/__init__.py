"""What answers a request that no script covers: the audit brain for its agent, else the default brain."""

from agentfleet.simulator.brains import audit, default
from agentfleet.simulator.conversation import Conversation
from agentfleet.simulator.turn import Turn


def think(conversation: Conversation, parallel_tools: int) -> Turn:
    """The next turn; the same conversation always gives the same turn."""
    if audit.recognises(conversation):
        return audit.next_turn(conversation)
    return default.next_turn(conversation, parallel_tools)
