"""The machine types that EC2 has here: those with GPUs, and a few families for what needs none.

moto knows all 1,395 of AWS. Karpenter asks for every one at each start, which would take half a minute.
"""

from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES, InstanceTypeBackend

FAMILIES = ("t3", "m6i", "m7i", "c7i", "r7i")
"""Families without GPUs. A fleet that wants another is refused as EC2 refuses a type that it does not have."""


def install() -> None:
    """Leave moto's EC2 with these types."""
    kept = {
        name
        for name, machine in INSTANCE_TYPES.items()
        if "GpuInfo" in machine or (name.partition(".")[0] in FAMILIES and not machine["BareMetal"])
    }
    for name in INSTANCE_TYPES.keys() - kept:
        del INSTANCE_TYPES[name]
    known = InstanceTypeBackend.instance_types
    known[:] = [each for each in known if each["InstanceType"] in kept]
    for regions in INSTANCE_TYPE_OFFERINGS.values():
        for offerings in regions.values():
            offerings[:] = [each for each in offerings if each["InstanceType"] in kept]
