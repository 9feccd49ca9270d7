"""The dependency audit: one run for every Python distribution that is installed here."""
