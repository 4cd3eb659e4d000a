"""Network interfaces of nodes whose GPUs reach those of other nodes by the Elastic Fabric Adapter."""

from dataclasses import dataclass
from typing import Literal

from llm_serving.catalog import MachineType


@dataclass(frozen=True)
class NetworkInterface:
    """One interface of a machine.

    Attributes:
        card: index of the network card.
        device: index of the device on the card.
        type: ``interface`` for one with addresses, ``efa-only`` for one without.
    """

    card: int
    device: int
    type: Literal["interface", "efa-only"]


def network_interfaces(machine: MachineType) -> list[NetworkInterface]:
    """The interface with the node's addresses, and all that the machine can have of EFA: they need no address (EC2
    documentation, "Maximize network bandwidth on Amazon EC2 instances with multiple network cards")."""
    first = machine.efa_first_card
    return [
        NetworkInterface(0, 0, "interface"),
        *(
            # The first device of the first card is the interface with addresses.
            NetworkInterface(card, 0 if card else 1, "efa-only")
            for card in range(first, first + machine.efa_interfaces)
        ),
    ]
