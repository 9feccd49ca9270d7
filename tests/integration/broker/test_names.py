"""Every name in Redis: prefixed, and none mistaken for another."""

from agentfleet.broker import names


def test_names_are_apart_by_prefix_pool_and_run() -> None:
    made = [
        make(prefix, which)
        for make in (names.queue, names.wake, names.deltas, names.listeners)
        for prefix in ("agentfleet", "staging")
        for which in ("a", "b")
    ]
    made += [names.revoke("agentfleet"), names.revoke("staging")]
    assert len(set(made)) == len(made)
    assert all(name.startswith(("agentfleet", "staging")) for name in made)


def test_names_stay_as_they_are_while_old_and_new_workers_run_together() -> None:
    assert names.queue("agentfleet", "default") == "agentfleet.steps.default"
    assert names.wake("agentfleet", "default") == "agentfleet:wake:default"
    assert names.revoke("agentfleet") == "agentfleet:revoke"
    assert names.deltas("agentfleet", "r") == "agentfleet:deltas:r"
    assert names.listeners("agentfleet", "r") == "agentfleet:listen:r"
    assert names.STEP_TASK == "agentfleet.step"
