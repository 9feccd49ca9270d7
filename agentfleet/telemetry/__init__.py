"""Names first: every metric, log field and event is declared once, here."""
