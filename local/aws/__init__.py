"""The API of the local AWS: moto in a process of its own, with what it lacks and the local clouds need.

``AwsApi(folder, capacity)`` is the handle of one account: ``start()`` gives its address for every service and region
(``http://127.0.0.1:PORT``), ``client("ec2", region)`` a boto3 client, ``stop()`` ends the process and keeps the
account's records in the folder, from which the next ``start()`` goes on at the same address where that is still free.

Owns: the process (``api``, ``server``), that it forgets nothing when it ends (``journal``), what machines there are to
be had (``machines``, ``capacity``), which of them a fleet gets (``fleets``), what goes with them (``interfaces``),
where they are (``placement_groups``), the images of EKS (``images``), and which queues EventBridge fills (``events``).
Leaves alone: Pulumi's plugin for AWS, and clusters.

moto's records are real to whoever asks, Karpenter above all. Imitated here: that a fleet takes the cheapest machine it
is offered, capacity that is missing, vCPU quotas, capacity reservations, and the parameters that name EKS images.
"""

from local.aws.api import AwsApi

__all__ = ["AwsApi"]
