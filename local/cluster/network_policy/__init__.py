"""Network policies on the local node: ``python -m local.cluster.network_policy``.

The package turns the NetworkPolicies of the API server (networking.k8s.io/v1, all of it) into one nftables table
of the node's network namespace. It owns that table and nothing else: interfaces, routes and the translation of
Services are the CNI plugin's and kube-proxy's.

What it builds on:

- Every packet of a pod is routed by the node (CNI plugin ``ptp``, one veth pair a pod) and so passes the hook
  ``forward``, after kube-proxy has put a pod's address in the place of a Service's. Packets that stay inside a
  Linux bridge pass that hook only with the kernel module br_netfilter.
- One node: pods of other nodes have no address that anything answers at, and count as nobody.

What holds, where the API leaves it open:

- Packets between a pod and its node, and from a pod to itself, always pass, as the documentation of Kubernetes
  says ("Network Policies", behaviour of ``to`` and ``from`` selectors). The node are also pods on its network
  (hostNetwork), which no policy selects.
- A connection that was allowed when it began goes on when a policy that forbids it comes; the next is refused.
- Protocols other than TCP, UDP and SCTP pass where a rule without ports allows the address. Errors about a
  connection (ICMP) pass with it.
- ``ipBlock`` is compared with the address as it is on the node, a pod's address included.
- A named port is looked up on the pod that is connected to, in either direction; outside of pods there are none.
- Refused packets are dropped without an answer, as on the clouds.

Fails closed: what it does not understand in a policy closes that direction of the pods that the policy selects
and is told in an Event; an address of the pods' range that no pod in the API has yet is closed while there is any
policy, which makes new pods wait (a second or two, until the kubelet has reported the address) rather than run
open; before its first comparison all routed traffic of pods is closed. IPv6 is not routed.
"""
