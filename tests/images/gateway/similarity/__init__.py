"""A trained model of embeddings behind OpenAI's interface, and a Redis with vector sets, for tests of the cache."""
