"""Brings a model into a model cache: a Job, an init container or a command.

Owns where models come from (``sources``), where they go (``targets``), the object stores of both (``stores``), whether
one can be served at all (``checks``), how it is copied (``loading``), and what a complete copy is (``manifest``,
``completeness``, ``verifying``). Leaves to the engine what is in the files.
"""
