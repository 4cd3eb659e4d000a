"""Which tiny models there are: their shape, and the variant (seed and revision) behind each release."""

from dataclasses import dataclass

REPOSITORY = "llm-serving/tiny-llama"
"""The name under which releases and the loader know the model."""


@dataclass(frozen=True)
class Shape:
    """Shape of the Llama, in the words of its ``config.json``.

    The head size is one that the CPU engine's attention supports; with 16 it starts and fails at the first request.
    The vocabulary is a multiple of 64, to which engines pad it anyway.
    """

    layers: int = 2
    hidden_size: int = 256
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    intermediate_size: int = 512
    vocabulary: int = 320
    max_context: int = 4096
    """Longest context in tokens; one token is one byte of text."""

    @property
    def parameters(self) -> int:
        """All parameters; the output projection is a matrix of its own, not the embedding table."""
        attention = self.hidden_size * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        mlp = 3 * self.hidden_size * self.intermediate_size
        norms = 2 * self.hidden_size
        return self.layers * (attention + mlp + norms) + self.hidden_size + 2 * self.vocabulary * self.hidden_size


SHAPE = Shape()


@dataclass(frozen=True)
class Variant:
    """The weights behind one release.

    Attributes:
        release: version of the model release that serves it.
        seed: what its weights are drawn from.
        revision: the 40 hexadecimal digits that its files hash to.
    """

    release: str
    seed: int
    revision: str


VARIANTS = (
    Variant(release="1.0.0", seed=1, revision="d05236ceb38dbdd9d1e76ef7a7f74d04c40dd2d6"),
    Variant(release="1.1.0", seed=2, revision="a43511e45dc83b550676d44e701ea77de3dbba76"),
)
"""Same shape, other weights: an update from one to the other changes the revision and nothing else."""
