"""Play one case: lead a process to its point, let it break, and look at what is left."""

import signal

from tests.acceptance.fleet import Process
from tests.chaos.sweep.plan import Case
from tests.chaos.sweep.requests import Asking
from tests.chaos.sweep.scenes import DONE, Scene
from tests.chaos.sweep.stage import Stage

LEADERS = ("dispatcher", "reconciler")


async def play(stage: Stage, case: Case) -> None:
    """Fails, saying why, when something that we promise does not hold."""
    scene = Asking(stage, case) if case.route.process == "ingress" else Scene(stage, case)
    promised = await getattr(scene, case.route.scene)()
    if case.action in ("kill", "pause") and case.route.scene != "drain" and case.route.process != "ingress":
        stage.start(case.route.process)  # as a supervisor would; the scenes of the ingress have done so
    if case.action == "pause" and case.route.process in LEADERS:
        scene.armed.send(signal.SIGCONT)  # it leads until its connection ends, so nobody else does
    await stage.ended(scene.run, promised)
    for tool in ("note", "charge"):
        stage.file(f"hold-{tool}").unlink(missing_ok=True)
    if case.action != "kill":
        await _well(scene, stage, case)
    await stage.quiet()
    if case.route.scene == "poison":
        kept = len(await stage.rows("SELECT FROM dead_letters WHERE raw IS NOT NULL"))
        assert kept == 1 or (case.action, case.moment, kept) == ("kill", "before", 0), f"{kept} letters of one message"


async def _well(scene: Scene, stage: Stage, case: Case) -> None:
    """The process that broke has survived it: it changes nothing of what others have finished, works, and stops."""
    picture = await stage.picture(scene.run)
    if case.action == "pause":
        scene.armed.send(signal.SIGCONT)
    if case.route.scene == "drain":
        assert await scene.armed.wait() == 0
        return
    again = await scene.again()
    await stage.ended(again, DONE)
    await _ends(scene.armed)
    assert await stage.picture(scene.run) == picture, "a run changed after its end"


async def _ends(process: Process) -> None:
    code = await process.end()
    assert code == 0, f"{process.name} ended with {code}"
