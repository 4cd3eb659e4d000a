"""The API of the local AWS: moto in a process of its own, with what it lacks and the local clouds need.

Owns: the process and its address (``api``), that it forgets nothing when it ends (``journal``), what machines there
are to be had (``capacity``), which of them a fleet gets (``fleet``), and the answers that moto does not give
(``answers``). Leaves alone: Pulumi's plugin for AWS, and clusters.

moto's records are real to whoever asks, Karpenter above all. Imitated here: that a fleet takes the cheapest machine it
is offered, capacity that is missing, vCPU quotas, capacity reservations, and the parameters that name EKS images.
"""
