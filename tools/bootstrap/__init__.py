"""Puts every outside program that the project runs into one folder, at the pinned version.

Owns the Python environment (`.venv`), the programs (`pulumi`, the Kubernetes control plane, etcd,
KWOK; for a real node kubelet, kube-proxy and CoreDNS) and the files that come with them (CRDs, KWOK stages).
Has the distribution install what a real node needs of it. Imports nothing but the standard library,
`stacks/docker.py` and `stacks/files.py`, which need nothing else either, since it runs before anything is installed.
The rest of the project never imports this package: it finds programs on PATH, and programs, CRDs and stages below
`$LLM_SERVING_TOOLS` (by default `.tools`).
"""
