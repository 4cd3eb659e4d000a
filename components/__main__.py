"""Entry point of the Pulumi package: the engine starts this folder."""

from llm_serving.plugin import serve

if __name__ == "__main__":
    serve()
