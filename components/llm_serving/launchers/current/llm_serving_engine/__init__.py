"""The first process of an engine's container: runs the engine, and says from the outside how it does.

Owns the engine's process (``process``), its start (``startup_stages``, ``warm_up``, ``compile_cache``), what is known
about it (``health_monitor``, ``stall``, ``resource_usage``), the health endpoint (``server``) and the end of its
requests (``drain``). Leaves requests to the engine: none passes through this process. Two modules run inside the
engine's processes instead, loaded by vLLM's own means: ``drain_middleware`` and ``vllm_stages``.
"""

__version__ = "0.1.0"
