"""Network interfaces of instances: those that come with an instance go with it (EC2 documentation, "Elastic network
interfaces", termination behaviour), which moto forgets for the first one.
"""

from typing import Any

from moto.ec2.models.instances import Instance


def install() -> None:
    """Let moto's instances take their interfaces along."""
    terminate = Instance.terminate

    def terminate_with_interfaces(instance: Any) -> Any:
        ends = instance.state != "terminated"  # an instance can be terminated again, and then has none
        for interface in instance.nics.values():
            interface.delete_on_termination = ends
        return terminate(instance)

    Instance.terminate = terminate_with_interfaces  # type: ignore[method-assign]
