"""The gateway in front of all models of a stack, as components: its pods, its proxy, routes to releases, Redis."""
