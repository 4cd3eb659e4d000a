"""The local kubernetes plugin: the provider protocol of pulumi-kubernetes on a real API server.

What the real provider does that a stack can tell apart is done here too: server-side apply with a manager of
its own, generated names, waiting for rollouts, errors with reasons, replacement of what cannot change. Beyond
it, inputs are checked against the SDK's types, and fields that the API server does not know are refused.

A kubeconfig that names a host of the local clouds is led to the control plane behind it; any other is used as
written.
"""
