"""The plan and the state of a stack as people read them."""
