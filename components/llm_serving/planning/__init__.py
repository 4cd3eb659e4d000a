"""Pure functions on facts and wishes: what fits, how it is split, what it costs, which quota it needs, what
is refused.

Knows no Pulumi and creates nothing. Facts come from ``llm_serving.catalog``, wishes from
``llm_serving.spec``. Rules of an organization (who may spend how much) are not here; they belong to its
policies.
"""
