"""Groups of commands of ``python -m local``."""
