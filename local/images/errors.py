"""What goes wrong with images, in words that say what to do."""


class ImageError(RuntimeError):
    """An image that cannot be built, found or written to an archive."""
