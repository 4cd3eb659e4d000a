"""Names of metrics and labels, and the PromQL that is built from them: what scaling, dashboards and alerts ask.

Owns how each exporter spells its series: engines (``engines``), our launcher, kube-state-metrics, NVIDIA's DCGM
exporter (``series``). Leaves alone what an answer means: queries belong to whoever asks them.
"""
