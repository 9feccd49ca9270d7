"""The fault matrix: every fault that we promise to survive, what then happens, and the figure that proves it.

``python -m tests.chaos.report`` holds the figures of a nightly run against ``bounds`` and writes docs/guarantees.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. ``test`` is a file of this directory and a test in it."""

    id: str
    fault: str
    expected: str
    gate: str
    test: str
    bounds: Mapping[str, float] = field(default_factory=dict[str, float])
    """The largest value that each noted figure may have; ``p99_s`` is noted for all timed rows."""


ROWS = (
    Row("F1", "kill -9 of a worker in the middle of model calls", "the lease ends, another worker repeats the call", "recovery p99 ≤ lease + 10 s; repeated calls ≤ calls in flight at the kills", "test_workers.py::test_killed_workers_lose_no_run", {"p99_over_lease_s": 10, "extra_calls_over_in_flight": 0, "lost": 0}),
    Row("F2", "a worker dies of a segmentation fault or of no memory", "its steps come back, the crash is counted on the step", "handed to another worker within lease + 2 s; lost 0", "test_workers.py::test_a_segmentation_fault_costs_one_crash", {"lost": 0, "p99_over_lease_s": 2}),
    Row("F3", "killed in an idempotent tool", "called again with the same effect key", "one effect per key, 1,000 of 1,000", "test_workers.py::test_an_idempotent_tool_has_one_effect_per_key", {"doubled": 0, "lost": 0}),
    Row("F4", "killed in an unsafe tool", "never called again: the run needs review", "≤ 1 attempt each, 1,000 of 1,000", "test_workers.py::test_an_unsafe_tool_is_started_once", {"second_attempts": 0, "lost": 0}),
    Row("F5", "killed between commit and publish", "the reconciler sends the message", "published p99 ≤ 6 s", "test_workers.py::test_a_message_that_was_never_sent_is_sent", {"p99_s": 6, "lost": 0}),
    Row("F6", "killed between publish and acknowledgement", "the second message claims nothing", "0 model calls repeated", "test_workers.py::test_a_message_that_comes_again_is_a_no_op", {"extra_calls": 0}),
    Row("F7", "rolling deploy: SIGTERM of every worker under load", "steps finish or are handed back", "0 failed runs; repeated model calls ≤ 0.1 %", "test_deploys.py::test_a_rolling_deploy_fails_nothing", {"failed": 0, "repeated_share": 0.001}),
    Row("F8", "SIGQUIT at random instants, commits among them", "an ambiguous commit is read again by key", "0 violations in 1,000", "test_commits.py::test_cold_shutdowns_at_random_instants_double_nothing", {"violations": 0}),
    Row("F9", "Redis FLUSHALL, again and again", "published again from Postgres", "everything progresses within 10 s", "test_redis.py::test_flushall_loses_nothing", {"p99_s": 10, "lost": 0}),
    Row("F10", "Redis killed, and back empty", "consumers come back, none stays deaf", "consuming within 15 s, 50 of 50 restarts", "test_redis.py::test_every_restart_of_redis_is_survived", {"p99_s": 15, "deaf": 0}),
    Row("F11", "Redis stopped for 30 s (SIGSTOP)", "the API still answers 202: the database comes first", "POST p99 ≤ 0.5 s; no 5xx", "test_redis.py::test_a_stalled_redis_does_not_stop_intake", {"p99_s": 0.5, "errors": 0, "lost": 0}),
    Row("F12", "Redis is full (maxmemory)", "publish errors are tolerated and counted; an evicting policy is refused at start", "0 lost", "test_redis.py::test_a_full_redis_loses_nothing", {"lost": 0}),
    Row("F13", "Redis fails over and loses its last writes", "the reconciler sends again", "progress within 40 s", "test_redis.py::test_a_failover_that_loses_writes_loses_no_run", {"p99_s": 40, "lost": 0}),
    Row("F14", "Postgres killed every few seconds", "everyone comes back, with jitter", "5,000 runs: 0 lost, 0 settled twice", "test_postgres.py::test_restarts_of_postgres_lose_nothing", {"lost": 0, "doubled": 0}),
    Row("F15", "Postgres fails over to a synchronous standby", "reconnect; read-only answers are retried", "no writes for ≤ 5 s; nothing acknowledged is lost", "test_postgres.py::test_a_failover_loses_nothing_that_was_acknowledged", {"p99_s": 5, "lost": 0}),
    Row("F16", "no free connection in Postgres", "503 with Retry-After; the reconciler goes on", "0 accepted and lost; well again within 10 s", "test_overload.py::test_exhausted_connections_are_told_and_outlived", {"lost": 0, "p99_s": 10}),
    Row("F17", "Postgres' disk is full", "503; workers claim nothing; no spending", "0 model calls while nothing can be committed", "test_overload.py::test_a_full_disk_spends_nothing", {"calls_while_full": 0, "lost": 0}),
    Row("F18", "deadlocks and serialization failures, 20 % of the statements", "bounded retry under the same fence", "≥ 99.99 % succeed", "test_postgres.py::test_deadlocks_are_retried", {"failed_share": 0.0001}),
    Row("F19", "a lock held for a minute", "lock_timeout", "no worker stuck for > 5 s", "test_overload.py::test_a_held_lock_stalls_only_its_own_run", {"p99_s": 5}),
    Row("F20", "every message ten times, at once", "one claim wins", "1 settle and 9 no-ops each, 10,000 messages", "test_delivery.py::test_ten_copies_of_every_message_are_one", {"doubled": 0}),
    Row("F21", "messages reordered and delayed by up to 10 minutes", "a stale message claims nothing", "0 violations", "test_delivery.py::test_late_and_shuffled_messages_change_nothing", {"violations": 0}),
    Row("F22", "a worker's clock is wrong by 5 minutes or a day, or jumps", "leases use the database's clock", "0 leases taken early, 0 stuck", "test_clocks.py::test_a_wrong_clock_changes_no_lease", {"early": 0, "stuck": 0}),
    Row("F23", "the provider accepts and says nothing", "cut off by the first-byte or the idle timeout, not by the total", "cut at the timeout (30 s) ± 1 s", "test_provider.py::test_a_silent_provider_is_cut_off", {"off_by_s": 1}),
    Row("F24", "the provider drips one token every 5 s", "heartbeats keep the lease; cut at the total deadline", "0 leases lost", "test_provider.py::test_a_dripping_provider_is_cut_at_its_deadline", {"leases_lost": 0, "off_by_s": 1}),
    Row("F25", "an answer breaks off: an error event after 200, a reset, a clean end too early, half a tool call", "what was half said is dropped, counted and asked for again", "0 half answers kept, 0 without their price", "test_provider.py::test_half_an_answer_leaves_nothing_but_its_price", {"partial": 0, "unpriced": 0}),
    Row("F26", "429 with retry-after", "obeyed by the whole fleet; the worker's slot is free meanwhile", "0 calls before their time; 0 attempts spent", "test_refusals.py::test_nobody_calls_before_retry_after", {"early": 0, "attempts_spent": 0}),
    Row("F27", "more work than the provider's limit allows, several times over", "admission paces the fleet", "≥ 90 % of the limit used and ≤ 2 % refused once warm; 0 attempts spent", "test_refusals.py::test_a_storm_of_429s_becomes_a_steady_stream", {"unused_share": 0.1, "refused_share": 0.02, "attempts_spent": 0}),
    Row("F28", "the account's spend cap is reached: 429 without retry-after", "the account is parked; its runs wait, and go on by themselves", "1 request per probe interval; 0 attempts spent", "test_refusals.py::test_a_spend_cap_is_looked_at_once_per_interval", {"crowded": 0, "attempts_spent": 0}),
    Row("F29", "529 and 503 for ten minutes", "a breaker, shared by the fleet; all go on afterwards", "≤ 1 look per 10 s and model; 0 attempts spent", "test_refusals.py::test_an_overloaded_model_is_looked_at_once_per_interval", {"crowded": 0, "attempts_spent": 0}),
    Row("F30", "the request cannot be accepted (too long, no such model, 400), or the key is refused (401)", "a dead letter or a failed run that names the cause; a parked account", "≤ 1 call each; a refused key is tried once per interval", "test_refusals.py::test_what_cannot_be_accepted_is_asked_once", {"repeated": 0, "crowded": 0}),
    Row("F31", "foreign and unreadable messages on our queue", "kept raw as dead letters, acknowledged", "kept within 1 s; the worker stays up", "test_poison.py::test_foreign_messages_are_kept_raw", {"p99_s": 1, "deaths": 0}),
    Row("F32", "a tool that kills its worker every time", "buried after three crashes, with the evidence", "≤ 3 deaths; siblings unaffected", "test_poison.py::test_a_step_that_kills_is_buried", {"deaths": 3, "lost": 0}),
    Row("F33", "oversized bodies and results (2 and 50 MiB)", "413; results are capped; messages hold ids", "ingress grows by ≤ 20 MiB; a message has ≤ 4 KiB", "test_input.py::test_oversize_is_refused_in_constant_space", {"growth_mib": 20, "message_kib": 4}),
    Row("F34", "JSON bombs, NaN, NUL, duplicate keys, half surrogates", "400 or 422 as a problem document", "no 5xx in 100,000 cases", "test_input.py::test_no_body_breaks_the_ingress", {"errors": 0}),
    Row("F35", "a deploy changes an agent in the middle of its runs", "a run keeps its bundle; what cannot be served waits and is told", "0 runs across versions; told within 60 s", "test_deploys.py::test_a_run_keeps_its_version", {"crossed": 0, "p99_s": 60}),
    Row("F36", "a bad deploy is rolled back", "its runs go on", "0 lost", "test_deploys.py::test_a_bad_deploy_is_rolled_back", {"lost": 0}),
    Row("F37", "the schema is migrated under load", "old code works on the new schema, new code on the old one", "0 errors; submit p99 at most twice what it was", "test_migrations.py::test_each_migration_runs_under_load", {"errors": 0, "slowdown": 2}),
    Row("F38", "a worker is cut off from Postgres but reaches the provider", "starts no side effect when its lease is over; its late result changes nothing", "0 stale settles; 0 unsafe tools started late", "test_partitions.py::test_a_worker_without_database_fences_itself", {"stale": 0, "late_starts": 0}),
    Row("F39", "a worker is cut off from Redis only", "leases are renewed in Postgres; it finishes its steps", "0 doubled", "test_redis.py::test_a_worker_without_redis_finishes_its_steps", {"doubled": 0, "lost": 0}),
    Row("F40", "a worker is stopped for longer than its lease and continued", "its fence no longer fits", "one rejection each, no write", "test_workers.py::test_a_stopped_worker_wakes_up_to_nothing", {"late_writes": 0, "unrejected": 0}),
    Row("F41", "two reconcilers lead at once", "every action is a compare-and-set", "0 steps run twice", "test_delivery.py::test_two_leaders_do_everything_once", {"doubled": 0}),
    Row("F42", "a cancel races the end of the run", "exactly one end", "0 of 10,000 change their end", "test_delivery.py::test_a_cancel_and_an_end_race_to_one_end", {"flips": 0}),
    Row("F47", "a restore to five minutes ago", "the reconciler converges; effects are recognised by their key", "0 double effects of idempotent tools", "test_restore.py::test_a_restore_converges", {"doubled": 0, "lost": 0}),
)  # fmt: skip
