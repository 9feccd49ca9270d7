"""Agents to read and to run: `agentfleet dev examples.dependency_audit.agent`."""
