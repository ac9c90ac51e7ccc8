"""Examples that no memory holds: batches that come again and again, a block of them at a time.

A pass over a stream brings blocks of one size, so that one program serves all of them; the last is
filled up with rows of weight 0. While one block is computed with, a thread reads the next. Rows of
weight 0 are left out as they are read, so that what they hold does not matter.
"""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxlinear import checks
from jaxlinear.checks import block as blocks
from jaxlinear.checks.arguments import dtype_of
from jaxlinear.checks.batch import output_shape
from jaxlinear.types import Batch

_NUMBERS, _MOST = 2**20, 2**16  # numbers of x in a block, about; rows, at most


@dataclasses.dataclass(frozen=True)
class Stream:
    """Batches again and again: every call of ``batches`` begins anew.

    ``size`` is the number of rows that are computed with at a time, None for about a million
    numbers. ``features`` are the names of the columns and ``names`` those of the classes, where
    the source has them. ``progress`` shows a bar for every pass. ``shuffled`` makes the batches in
    a random order, where the source can be read so.
    """

    batches: Callable[[], Iterable[Batch]]
    size: int | None = None
    features: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    progress: bool = False
    shuffled: Callable[[np.random.Generator], Iterable[Batch]] | None = None

    def __iter__(self) -> Iterator[Batch]:
        """The batches as they come from the source."""
        return iter(self.batches())


def of(source) -> Stream:
    """A stream of a ``Stream``, a ``Batch``, an iterable of batches, or a function that makes one.

    An iterator, such as a generator, serves for one pass.
    """
    if isinstance(source, Stream):
        return source
    if isinstance(source, Batch):
        return Stream(lambda: slices(source), shuffled=lambda rng: slices(source, rng))
    if callable(source):
        return Stream(source)
    if not isinstance(source, Iterable):
        raise TypeError(
            f"got {type(source).__name__} for a stream; expected jl.data.stream(…), an iterable of "
            "Batch, or a function that returns one."
        )
    if iter(source) is source:
        return Stream(_once(source))
    if not isinstance(source, Sequence):
        return Stream(lambda: source)
    shuffled = lambda rng: (source[i] for i in rng.permutation(len(source)))  # noqa: E731
    return Stream(lambda: source, shuffled=shuffled)


def _once(iterator: Iterator[Batch]) -> Callable[[], Iterator[Batch]]:
    used = []

    def batches():
        if used:
            raise ValueError(
                "the stream is an iterator, which can be read only once, and this needs another "
                "pass. Pass the function that makes it: stream(make), not stream(make())."
            )
        used.append(True)
        return iterator

    return batches


def slices(batch: Batch, rng: np.random.Generator | None = None) -> Iterator[Batch]:
    """The rows of arrays, of which no more than a block is read at a time."""
    x, y, weight = batch
    for rows in spans(np.shape(x), rng):
        yield Batch(x[rows], y[rows], None if weight is None else weight[rows])


def spans(shape: tuple[int, ...], rng: np.random.Generator | None = None) -> Iterator[slice]:
    """The rows of every block of an array, or of every block in a random order."""
    size = rows_of(shape[1]) if len(shape) == 2 else max(shape[0], 1)
    starts = range(0, shape[0], size)
    for first in starts if rng is None else rng.permutation(starts).tolist():
        yield slice(first, first + size)


def rows_of(columns: int) -> int:
    """The rows of a block of so many columns, a power of two."""
    return min(_MOST, 1 << max(_NUMBERS // max(columns, 1), 1).bit_length() - 1)


class Passes:
    """The passes over a stream: iterating makes one, of blocks on the device.

    ``kind`` is that of the targets, a key of ``checks.TARGETS``, or None for any numbers, and
    ``outputs`` the number of classes where it is not to be read off the labels. All values are
    checked in the first pass, after which ``rows`` is the number of rows that have weight,
    ``shape`` that of the outputs, and ``x`` the shape and dtype of all x. Every other pass must
    bring as many rows.
    """

    def __init__(self, source, kind: str | None, outputs: int | None = None):
        """No pass yet."""
        self.stream = of(source)
        self.kind, self.outputs = kind, outputs
        self.rows, self.shape, self.x = None, None, None
        size = self.stream.size
        self.size = None if size is None else checks.count(size, "size")
        self._like = None

    def __iter__(self) -> Iterator[Batch]:
        """One pass."""
        return _ahead(self._blocks(self.stream))

    def shuffled(self, rng: np.random.Generator) -> Iterator[Batch]:
        """One pass, in a random order of the blocks where the source allows it."""
        shuffled = self.stream.shuffled
        return _ahead(self._blocks(self.stream if shuffled is None else shuffled(rng)))

    def _blocks(self, source: Iterable[Batch]) -> Iterator[Batch]:
        """The rows copied into blocks of one size: a source may use its arrays again."""
        block, count, free = None, 0, self.size is None
        for batch in self._batches(source):
            if self.size is None:
                self.size = rows_of(batch.x.shape[1])
            first = 0
            while first < len(batch.x):
                block = block or jax.tree.map(self._empty, batch)
                some = min(self.size - count, len(batch.x) - first)
                for into, rows in zip(block, batch, strict=True):
                    into[count : count + some] = rows[first : first + some]
                count, first = count + some, first + some
                if count == self.size:
                    yield block
                    block, count = None, 0
        if block:
            if free and self.rows == count:  # there is no other block
                self.size = 1 << (count - 1).bit_length()
                block = jax.tree.map(lambda rows: rows[: self.size], block)
            yield _filled(block, count)

    def _empty(self, rows: np.ndarray) -> np.ndarray:
        return np.empty((self.size, *rows.shape[1:]), rows.dtype)

    def _batches(self, source: Iterable[Batch]) -> Iterator[Batch]:
        """The batches as they are computed with, in a pass that is compared with the first."""
        from tqdm import tqdm  # imported only when a stream is read

        first, rows, total, ends = self.rows is None, 0, 0.0, [0, 0]
        digits = {name: blocks.Digits(name) for name in ("x", "y")}
        with tqdm(total=self.rows, unit="row", disable=not self.stream.progress) as bar:
            for number, given in enumerate(source):
                try:
                    batch = blocks.arrays(given, self._like)
                    if not batch.weight.any():
                        continue
                    narrow = blocks.narrowed(batch, self.kind, self.outputs, look=first)
                except (ValueError, TypeError) as error:
                    raise type(error)(f"block {number} of the stream: {error}") from error
                batch, narrow = (blocks.present(rows) for rows in (batch, narrow))
                if first:
                    self._like = self._like or jax.tree.map(lambda rows: rows[:0], batch)
                    for name, seen in digits.items():
                        seen.add(getattr(batch, name), getattr(narrow, name).dtype)
                    if self.kind == "labels" and batch.y.ndim == 1:
                        low, high = (int(end(narrow.y)) for end in (np.min, np.max))
                        ends = [min(ends[0], low) if rows else low, max(ends[1], high)]
                rows, total = rows + len(batch.x), total + np.sum(batch.weight, dtype=float)
                bar.update(len(batch.x))
                yield narrow
        if first:
            self._end_of_first(rows, total, ends, digits.values())
        elif rows != self.rows:
            raise ValueError(
                f"the stream had {self.rows:,} rows in the first pass and {rows:,} in this one; "
                "expected the same rows in every pass. Pass a function that begins anew."
            )

    def _end_of_first(self, rows: int, total: float, ends, digits) -> None:
        if not rows:
            raise ValueError("the stream is empty; expected at least one row of weight > 0.")
        limits = jnp.finfo(self._like.weight.dtype)
        if not float(limits.tiny) < total < float(limits.max):
            raise ValueError(
                f"the weights sum to {total:g}, which {limits.dtype} cannot hold. Divide all of "
                "them by their mean: only their relative sizes count."
            )
        for seen in digits:
            seen.require()
        self.rows = rows
        self.x = jax.ShapeDtypeStruct((rows, self._like.x.shape[1]), dtype_of(self._like.x))
        y = np.array(ends) if self._like.y.ndim == 1 else self._like.y
        self.shape = output_shape(Batch(None, y), self.kind or "real", self.outputs)


def _filled(block: Batch, count: int) -> Batch:
    """A block whose rows from ``count`` on are copies of the one before, of weight 0."""
    for rows, last in zip(block, (block.x[count - 1], block.y[count - 1], 0), strict=True):
        rows[count:] = last
    return block


def _ahead(blocks: Iterator[Batch]) -> Iterator[Batch]:
    """The blocks on the device; a thread reads the next while one is used."""
    wide = jax.config.jax_enable_x64  # a thread has settings of its own

    def read():
        with jax.enable_x64(wide):
            return next(blocks, None)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        try:
            following = pool.submit(read)
            while (block := following.result()) is not None:
                following = pool.submit(read)
                yield jax.device_put(block)
        finally:
            pool.submit(blocks.close)


def in_pairs(merge: Callable, parts: Iterable):
    """All parts merged: in pairs, and pairs of pairs, so that no number meets many roundings.

    Each part is computed before the next begins, while that is read.
    """
    waiting = []  # the parts so far, of as many blocks as the digits of a binary number say
    for number, part in enumerate(parts, 1):
        merged = jax.block_until_ready(part)
        while number % 2 == 0:
            merged, number = merge(waiting.pop(), merged), number // 2
        waiting.append(merged)
    return functools.reduce(lambda last, part: merge(part, last), reversed(waiting))


@jax.jit
def added(a, b):
    """The sums of two trees of arrays."""
    return jax.tree.map(jnp.add, a, b)
