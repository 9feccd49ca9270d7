"""The command `agentfleet`: one file, one command. What a command needs is imported when it runs."""
