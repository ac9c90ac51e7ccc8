"""The results at a glance: where the library wins, where it loses, what the machine allows."""

from typing import NamedTuple

from benchmarks import slopes
from benchmarks.grid import tables as of_cells
from benchmarks.harness import Row
from benchmarks.markdown import TIMES, milliseconds, ratio, table


class Sides(NamedTuple):
    """Of a table the reference, its slowest loop, and the best of the others."""

    ours: Row
    loop: Row | None
    best: Row | None

    @property
    def times(self) -> float:
        """How many times as long the best of the others takes."""
        return self.best.median / self.ours.median


def sides(about: dict) -> Sides | None:
    """None where the reference is not there, or there is none."""
    rows = [Row(**row) for row in about["rows"] if not row.get("error")]
    ours = next((row for row in rows if row.name == about["reference"]), None)
    if ours is None:
        return None
    loops = [row for row in rows if row.name.startswith("jaxlinear, loop")]
    others = [row for row in rows if not row.name.startswith("jaxlinear")]
    return Sides(ours, max(loops, key=speed, default=None), min(others, key=speed, default=None))


def speed(row: Row) -> float:
    """Seconds per unit of work, by which rows are put in order: failures last."""
    return float("inf") if row.error else row.median


def tables(result: dict) -> list[dict]:
    """The tables of a result, which is one itself unless it holds several, or none."""
    return result.get("tables", [result] if "rows" in result else [])


def place(about: dict) -> str:
    """The processor, and the accelerator where there is one."""
    accelerator = "" if about["device"].startswith("cpu") else f", {about['device']}"
    return f"{about['cpu']}, {about['cores']} cores{accelerator}"


def work_of(about: dict) -> tuple[float, float] | None:
    """GFLOP/s and GB/s of the reference, by what its compiler counts."""
    found = sides(about)
    if not about.get("cost") or found is None:
        return None
    return tuple(1e-9 * about["cost"][kind] / found.ours.median for kind in ("flops", "bytes"))


def headline(results: list[dict]) -> str:
    """One row for each table that has a headline: us, our own loop, and the best of the others."""
    rows, about = [], []
    for result in results:
        chosen = [each for each in tables(result) if each.get("headline")]
        about += [result["machine"]] * bool(chosen)
        for each in chosen:
            ours, loop, best = sides(each)
            slow, said = (
                f"{ratio(row.median / ours.median)}{TIMES}" if row else "" for row in (loop, best)
            )
            said += f" ({best.name})" if best else ""
            time = f"{milliseconds(ours.median)} ms per {each['unit']}"
            rows.append([each["headline"], time, slow, said])
    heads = ["", "jaxlinear", "one fit after another", "the best of the others"]
    machines = "; ".join(dict.fromkeys(map(place, about)))
    return f"{table(heads, rows)}\n\nTimes as long as jaxlinear, on {machines}."


def markdown(results: list[dict]) -> str:
    """The page, of every device one after another."""
    devices = dict.fromkeys(place(result["machine"]) for result in results)
    return "\n\n".join(
        _of_device(device, [r for r in results if place(r["machine"]) == device])
        for device in devices
    )


def _of_device(device: str, results: list[dict]) -> str:
    compared = [
        (each, found)
        for result in results
        for each in tables(result)
        if (found := sides(each)) and found.best
    ]
    compared.sort(key=lambda pair: -pair[1].times)
    parts = [f"## {device}"]
    for title, chosen in (
        ("Where it wins", [pair for pair in compared if pair[1].times >= 1]),
        ("Where it loses", [pair for pair in compared if pair[1].times < 1]),
    ):
        if chosen:
            heads = ["", "the best of the others", "times as long", "jaxlinear, ms"]
            rows = [_compared(*pair) for pair in chosen]
            parts += [f"**{title}**", table(heads, rows, left=2)]
    for result in results:
        parts += _alone(result)
        parts += _of_cells(result) if result.get("cells") else []
        parts += _of_growth(result) if result.get("growth") else []
    return "\n\n".join([*parts, *_limits(results)])


def _compared(about: dict, found: Sides) -> list[str]:
    title = about["title"].removesuffix(", float32")
    return [title, found.best.name, ratio(found.times), milliseconds(found.ours.median)]


def _alone(result: dict) -> list[str]:
    """Tables in which nothing is compared."""
    parts = []
    for each in tables(result):
        rows = [Row(**row) for row in each["rows"] if not row.get("error")]
        if each["reference"] is None and rows:
            cells = [[r.name, milliseconds(r.median), f"{r.checked:g}"] for r in rows]
            heads = ["", f"ms per {each['unit']}", each["column"]]
            parts += [f"**{each['title']}**", table(heads, cells)]
    return parts


def _of_cells(result: dict) -> list[str]:
    groups = dict.fromkeys(cell["group"] for cell in result["cells"])
    return [
        f"**On shapes at random, {group}.** "
        + of_cells.in_all([cell for cell in result["cells"] if cell["group"] == group])
        for group in groups
    ]


def _of_growth(result: dict) -> list[str]:
    title = f"**{result['title']}, by slopes of log time over the last decade, and memory**"
    return [title, slopes.summary(result)]


def _limits(results: list[dict]) -> list[str]:
    """By how much of a matrix product, or of reading memory, the nearer of both, a table goes."""
    rows = []
    for result in results:
        peaks = (
            ("a matrix product", result["machine"]["matrix_product_gflops"]),
            ("reading memory", result["machine"]["memory_read_gb_per_s"]),
        )
        for each in tables(result):
            if work := work_of(each):
                shares = [
                    (rate / peak, what) for rate, (what, peak) in zip(work, peaks, strict=True)
                ]
                share, what = max(shares)
                rows.append([each["title"].removesuffix(", float32"), f"{100 * share:.0f}", what])
    if not rows:
        return []
    return ["**What the machine allows**", table(["", "%", "of"], rows)]
