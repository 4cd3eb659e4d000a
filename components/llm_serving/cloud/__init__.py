"""Clouds: each fulfils ``llm_serving.contract`` in a package of its own."""
