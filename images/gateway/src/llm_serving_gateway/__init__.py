"""The gateway: LiteLLM behind keys, limits, budgets and checks of our own.

``application`` is an ASGI application around LiteLLM's: it authenticates, checks, limits and maps errors, so that
nothing which is refused reaches LiteLLM, and nothing of LiteLLM's internals reaches a client. LiteLLM speaks
with providers and falls back to other models; below it, ``backend_transport`` chooses between the back ends of a model.
"""
