"""What scales pods by metrics, on a cluster that asks for it: KEDA, kube-state-metrics and Prometheus as real programs
beside the control plane.

Owns their options, command lines, certificates, and the objects by which the API server finds them. What is scaled,
by which queries, is up to those who use the cluster; nodes are the business of the ``pool_controller``.
"""
