"""``jaxlinear data``: prepare a data set, or verify the prepared one."""

from jaxlinear.data.fashion.dataset import verify


def run(options) -> None:
    """Prepare Fashion-MNIST, or read every prepared byte again."""
    prepared = verify(options.directory)
    counts = ", ".join(f"{count:,} {split}" for split, count in prepared.counts.items())
    print(f"Fashion-MNIST, verified: {counts} images in {prepared.path}")
