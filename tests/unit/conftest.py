"""Settings of all unit tests."""

from hypothesis import HealthCheck, settings

# Tests share two cores with the linters and with each other: how long an example takes says nothing.
settings.register_profile("shared cores", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared cores")
