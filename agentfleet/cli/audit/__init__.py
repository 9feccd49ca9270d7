"""The demo's job: submit, watch, kill, report, prove."""
