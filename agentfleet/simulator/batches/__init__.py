"""Message Batches, driven by the simulator's clock.

`batch` is what one is, `shelf` where they lie, `checks` what a new one must satisfy, `work` lets the model answer what
is due, `endpoints` is HTTP. Shapes follow https://platform.claude.com/docs/en/build-with-claude/batch-processing.
"""
