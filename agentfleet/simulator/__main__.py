"""`python -m agentfleet.simulator --port 0`: serve until interrupted, printing `{"url": ...}` once ready."""

import argparse
from pathlib import Path

from agentfleet.simulator.config import SimulatorConfig
from agentfleet.simulator.serve import main


def run() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m agentfleet.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8787, help="0 takes a free port")
    parser.add_argument("--config", type=Path, help="JSON file with a SimulatorConfig")
    parser.add_argument("--first-token-ms", type=float, help="wait before the first token")
    parser.add_argument("--token-ms", type=float, help="wait per output token")
    parser.add_argument("--clock-speed", type=float, help="seconds of its clock in a real second; 0 stands still")
    arguments = parser.parse_args()
    config = (
        SimulatorConfig.model_validate_json(arguments.config.read_bytes()) if arguments.config else SimulatorConfig()
    )
    names = ("first_token_ms", "token_ms", "clock_speed")
    chosen = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    main(arguments.host, arguments.port, config.model_copy(update=chosen))


run()
