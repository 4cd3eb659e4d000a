"""Commands of the ``stacks`` program, one module each, and the options that they share."""
