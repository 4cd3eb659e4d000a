"""Groups of commands of the ``stacks`` program, and what they share."""
