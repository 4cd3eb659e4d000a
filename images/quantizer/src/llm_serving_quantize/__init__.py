"""Quantizes a model with llm-compressor: a folder with 16-bit weights in, a folder with quantized ones out.

Owns the recipe of each scheme, the calibration data and what is refused. Leaves alone where weights come from and go to
(``images/model-loader``), and where it runs (``llm_serving.serving.quantization``).
"""
