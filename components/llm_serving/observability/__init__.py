"""What Prometheus computes of the series that it scrapes, and when it calls somebody.

Owns recorded series, alerts and the objects that hold them. Leaves alone: names of series (``metrics``), objectives
(``spec.slo``), Prometheus itself (``addons``), and who scrapes what (``serving``, ``gateway``).
"""

from llm_serving.observability.monitoring import Monitoring, MonitoringArgs

__all__ = ["Monitoring", "MonitoringArgs"]
