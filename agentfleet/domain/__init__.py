"""The rules, pure: states, outcomes, verdicts, retries, budgets and the agent loop. No I/O, no clock, no randomness."""
