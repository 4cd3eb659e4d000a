"""Karpenter beside a cluster that asks for it: the real controller of its AWS provider, against the API of a local AWS.

Owns its command line and environment, and its machines' place in the cluster (``nodes``): on EKS the instance itself
registers its node. Leaves alone what the account has (``local.aws``), and the NodePools: they are for those who use the
cluster.
"""
