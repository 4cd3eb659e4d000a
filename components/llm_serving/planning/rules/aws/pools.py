"""GPU pools on EKS: reservations, node groups, EFA, sharing."""

import re
from collections.abc import Iterator

from llm_serving import catalog
from llm_serving.errors import Needs, Problem, Suggestion
from llm_serving.planning.rules.aws.sharing import check_sharing
from llm_serving.planning.rules.stack import StackShape
from llm_serving.planning.rules.zones import zones_of_entry
from llm_serving.spec import RESERVED_MARKETS, CapacityEntry, Market
from llm_serving.spec.aws import AwsPoolSpec, AwsProvisioner

_RESERVATION_ID = re.compile(r"cr-[0-9a-f]{17}")
"""EC2 API, ``CapacityReservation``: long ids."""

MOST_NODE_GROUPS = 30
MOST_NODES_OF_GROUP = 450
"""EKS documentation, "View and manage Amazon EKS service quotas"; both can be raised."""


def check_pools(stack: StackShape) -> Iterator[Problem]:
    """What is AWS's alone of ``pools``."""
    for index, pool in enumerate(stack.aws.pools):
        path = f"pools[{index}]"
        yield from check_sharing(path, pool)
        for number, entry in enumerate(pool.capacity):
            yield from _reservation(f"{path}.capacity[{number}].reservation", entry)
        if pool.provisioner is AwsProvisioner.NODE_GROUP:
            yield from _node_groups(path, pool)
        else:
            yield from _no_minimum(path, pool)
        if pool.efa:
            yield from _efa(path, stack, pool)


def note_pools(stack: StackShape) -> Iterator[Problem]:
    """What is allowed and may disappoint: node groups have no order, and need a quota for many; instances of several
    nodes without EFA."""
    groups = 1 if stack.aws.cluster is not None else 0
    for index, pool in enumerate(stack.aws.pools):
        path = f"pools[{index}]"
        if pool.provisioner is AwsProvisioner.NODE_GROUP:
            groups += len(pool.capacity)
            yield from _note_node_groups(path, pool)
        several = [model.name for model in stack.models if model.pool == pool.name and model.engine.nodes > 1]
        if several and not pool.efa and all(_interfaces(stack, entry) for entry in pool.capacity):
            reason = f"the nodes of an instance of {', '.join(several)} reach each other by TCP without it"
            yield Problem(f"{path}.efa", False, reason, Suggestion(values=[True]))
    if groups > MOST_NODE_GROUPS:
        reason = f"more node groups than EKS grants a cluster by default: {groups}, and it grants {MOST_NODE_GROUPS}"
        hint = Suggestion("provisioner karpenter, or a larger quota of EKS", needs=Needs.CHOICE)
        yield Problem("pools", None, reason, hint)


def _reservation(path: str, entry: CapacityEntry) -> Iterator[Problem]:
    if entry.market not in RESERVED_MARKETS or entry.reservation is None:
        return
    if not _RESERVATION_ID.fullmatch(entry.reservation):
        its_id = Suggestion("cr- and 17 hexadecimal digits, as EC2 shows it", needs=Needs.FACT)
        reason = "not the id of a capacity reservation of EC2"
        yield Problem(path, entry.reservation, reason, its_id)


def _node_groups(path: str, pool: AwsPoolSpec) -> Iterator[Problem]:
    for number, entry in enumerate(pool.capacity):
        if entry.min != entry.max:
            reason = f"nothing scales a managed node group, and min {entry.min} and max {entry.max} differ"
            hint = f"{entry.max}, or provisioner {AwsProvisioner.KARPENTER.value}"
            yield Problem(f"{path}.capacity[{number}].min", entry.min, reason, Suggestion(hint, values=[entry.max]))
    if pool.return_to_preferred:
        reason = "nodes of managed node groups are all there at once, so that none is preferred"
        yield Problem(f"{path}.returnToPreferred", True, reason, Suggestion(values=[False]))


def _no_minimum(path: str, pool: AwsPoolSpec) -> Iterator[Problem]:
    for number, entry in enumerate(pool.capacity):
        if entry.min:
            reason = "Karpenter keeps no empty node: nodes come with pods, and warmPool.placeholders hold some ready"
            node_group = Suggestion("0, or provisioner node-group", values=[0])
            yield Problem(f"{path}.capacity[{number}].min", entry.min, reason, node_group)


def _note_node_groups(path: str, pool: AwsPoolSpec) -> Iterator[Problem]:
    for number, entry in enumerate(pool.capacity):
        place = f"{path}.capacity[{number}]"
        if entry.market is Market.SPOT:
            karpenter = Suggestion(edits=[{f"/{path}.provisioner": AwsProvisioner.KARPENTER.value}])
            reason = "a managed node group waits for Spot capacity of its own: no other entry stands in for it"
            yield Problem(f"{place}.market", entry.market.value, reason, karpenter)
        if entry.max > MOST_NODES_OF_GROUP:
            reason = f"EKS grants {MOST_NODES_OF_GROUP} nodes a managed node group by default"
            hint = Suggestion("a larger quota, or several entries", needs=Needs.CHOICE)
            yield Problem(f"{place}.max", entry.max, reason, hint)


def _interfaces(stack: StackShape, entry: CapacityEntry) -> int:
    machine = stack.cloud.machine(entry)
    return 0 if machine is None else machine.efa_interfaces


def _efa(path: str, stack: StackShape, pool: AwsPoolSpec) -> Iterator[Problem]:
    together: tuple[str, ...] = ()
    for number, entry in enumerate(pool.capacity):
        machine = stack.cloud.machine(entry)
        if machine is None:
            continue
        if not machine.efa_interfaces:
            others = [
                other.name
                for other in catalog.machine_types(stack.cloud.name)
                if other.accelerator == machine.accelerator and other.efa_interfaces
            ]
            hint = f"false{f', or machineType {others[0]}' if others else ''}"
            yield Problem(f"{path}.efa", True, f"{machine.name} has no EFA", Suggestion(hint, values=[False]))
            return
        zones = zones_of_entry(entry, machine, stack.zones)
        if len(zones) > 1:
            first = Suggestion(values=[[zones[0]]])
            reason = f"nodes with EFA are close to each other, in one zone, and these may be in {', '.join(zones)}"
            yield Problem(f"{path}.capacity[{number}].zones", list(entry.zones) or None, reason, first)
        elif entry.market not in RESERVED_MARKETS:
            # A placement group of the strategy cluster is in one zone (EC2 documentation, "Placement strategies").
            if together and zones != together:
                reason = f"nodes with EFA share a placement group, which is in {together[0]}"
                yield Problem(
                    f"{path}.capacity[{number}].zones", list(zones), reason, Suggestion(values=[list(together)])
                )
            together = together or zones
