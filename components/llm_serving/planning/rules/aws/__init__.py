"""Rules of what only AWS has."""
