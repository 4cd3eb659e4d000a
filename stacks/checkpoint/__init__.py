"""A model's own files: what they say, read from where the model lies, without its weights."""
