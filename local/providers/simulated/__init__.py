"""What every simulated cloud has in common, whichever it is: types described by data, kinds of resources, records, and
the life of a resource between them.

Owns: ``types`` (what a data file says of a type), ``cloud`` (records and settings), ``kinds`` (what a type does),
``plugin`` (checks, names, journals). Leaves alone: words, ids and rules of one cloud; those are ``gcp`` and ``aws``.
"""
