"""The first process of an engine's container: runs the engine, and says from the outside how it does.

Owns the engine's process (``process``), what is known about it (``watch``, ``figures``) and the health endpoint
(``server``). Leaves requests to the engine: none passes through here.
"""
