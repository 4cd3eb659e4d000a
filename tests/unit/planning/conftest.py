"""Property tests of this folder run without a time limit: a slow machine is not a broken promise."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
