"""The routes of /sim/."""

from starlette.routing import BaseRoute, Route

from agentfleet.simulator.control.faults import FaultControl
from agentfleet.simulator.control.records import RecordControl
from agentfleet.simulator.control.settings import SettingsControl
from agentfleet.simulator.state import Simulator


def control_routes(simulator: Simulator) -> list[BaseRoute]:
    """The control endpoints of one simulator."""
    faults, records, settings = FaultControl(simulator), RecordControl(simulator), SettingsControl(simulator)
    return [
        Route("/sim/health", records.health),
        Route("/sim/stats", records.stats),
        Route("/sim/requests", records.requests),
        Route("/sim/early", records.early),
        Route("/sim/utilisation", records.utilisation),
        Route("/sim/faults", faults.show),
        Route("/sim/faults", faults.arm, methods=["POST"]),
        Route("/sim/faults", faults.clear, methods=["DELETE"]),
        Route("/sim/faults/{id:int}", faults.lift, methods=["DELETE"]),
        Route("/sim/clock", settings.clock),
        Route("/sim/clock", settings.move_clock, methods=["POST"]),
        Route("/sim/config", settings.config),
        Route("/sim/config", settings.configure, methods=["PATCH"]),
        Route("/sim/scripts", settings.add_script, methods=["POST"]),
        Route("/sim/reset", settings.reset, methods=["POST"]),
    ]
