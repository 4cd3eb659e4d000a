"""Where pods find the API server, which is no pod: network policies allow it by its addresses."""

PRIVATE_RANGES = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")
"""Private and shared ranges (RFC 1918, 6598), in one of which most API servers have the address that pods see."""

PORTS = (443, 6443)
"""The Service's port, and that of the server behind it: policies of some networks see the one, of others the other."""
