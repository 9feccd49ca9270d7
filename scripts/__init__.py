"""What a developer runs: set-up and generated documentation. Not shipped."""
