"""What an environment is, and what is done to it."""
