"""What a cluster needs before models scale and are watched: KEDA, Prometheus with its operator, LeaderWorkerSet.

``table`` holds an entry for each of them, and everything that differs between them; ``cluster_addons`` is the component
that installs them. Nothing is imported here: planning reads the table and must not load Pulumi with it.
"""
