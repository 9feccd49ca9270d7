from hypothesis import HealthCheck, settings

# No deadline and no complaint about slowness: a busy machine is not a broken rule.
settings.register_profile(
    "rules", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("rules")
