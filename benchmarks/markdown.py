"""Tables of Markdown, and numbers as they stand in them."""

from collections.abc import Iterable, Sequence

TIMES = "\N{MULTIPLICATION SIGN}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """The first ``left`` columns are words, the others numbers."""
    aligned = "|---" * left + "|" + "--:|" * (len(heads) - left)
    return "\n".join([joined(heads), aligned, *map(joined, rows)])


def joined(cells: Sequence[str]) -> str:
    return "".join(f"| {cell} " for cell in cells).replace("|  ", "| ") + "|"


def ratio(slower: float) -> str:
    """One decimal, and two digits for what is faster."""
    return f"{slower:.1f}" if slower >= 1 else f"{slower:.2g}"


def milliseconds(seconds: float) -> str:
    """Three significant digits: more would be noise."""
    return f"{float(f'{1e3 * seconds:.3g}'):g}"
