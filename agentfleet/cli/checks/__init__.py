"""What `agentfleet doctor` looks at: one file, one part of a deployment."""
