"""Result files, and the Markdown and the pictures that are made of them and of nothing else."""

import json
from pathlib import Path

from benchmarks import glance, machine, slopes
from benchmarks.glance import place, speed, tables, work_of
from benchmarks.grid import tables as cell_tables
from benchmarks.harness import Row
from benchmarks.markdown import milliseconds, ratio
from benchmarks.markdown import table as markdown_table

_HERE = Path(__file__).parent
RESULTS = _HERE / "results"
PAGES = {
    "headline": _HERE.parent / "README.md",
    "glance": _HERE / "README.md",
    "benchmarks": RESULTS / "README.md",
}


def write(result: dict, folder: Path = RESULTS) -> Path:
    """A line of ``<device>.jsonl``, in the place of an older answer to the same question."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{machine.name()}.jsonl"
    others = [r for r in _lines(path) if r["question"] != result["question"]]
    # In one move: who is killed while writing loses nothing of before.
    draft = path.with_suffix(".draft")
    draft.write_text("".join(json.dumps(r) + "\n" for r in [*others, result]))
    draft.replace(path)
    return path


def latest(question: str, folder: Path = RESULTS) -> dict | None:
    """What this machine has answered before."""
    own = _lines(Path(folder) / f"{machine.name()}.jsonl")
    return next((r for r in own if r["question"] == question), None)


def read(folder: Path = RESULTS) -> list[dict]:
    """All results of a folder, by device and question."""
    results = [r for path in sorted(Path(folder).glob("*.jsonl")) for r in _lines(path)]
    return sorted(results, key=lambda r: (r["machine"]["device"], r["question"]))


def _lines(path: Path) -> list[dict]:
    return list(map(json.loads, path.read_text().splitlines())) if path.exists() else []


def publish(folder: Path = RESULTS, pages: dict[str, Path] = PAGES) -> None:
    """Write the results between the markers of the pages, and draw the pictures beside them."""
    results = read(folder)
    draw(results, folder)
    for name, block in blocks(results).items():
        text = pages[name].read_text()
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        pages[name].write_text(before + begin + block + "\n\n" + end + rest.split(end)[1])


def blocks(results: list[dict]) -> dict[str, str]:
    """What stands between the markers of these names, each on a page of its own."""
    return {
        "headline": glance.headline(results),
        "glance": glance.markdown(results),
        "benchmarks": "\n\n".join(map(markdown, results)),
    }


def draw(results: list[dict], folder: Path) -> None:
    """The pictures of every device, in ``folder``."""
    from benchmarks import pictures  # matplotlib is an extra

    folder.mkdir(parents=True, exist_ok=True)
    for device in dict.fromkeys(r["machine"]["device"] for r in results):
        own = [r for r in results if r["machine"]["device"] == device]
        name = "-".join(device.split(": ")[-1].lower().split())
        for kind, figure in pictures.of(own).items():
            figure.savefig(folder / f"{name}-{kind}.png", dpi=120, metadata={"Software": None})


def markdown(result: dict) -> str:
    """Each table with its notes, or the cells of a grid, or sizes, then the machine."""
    parts = [cell_tables.markdown(result)] if result.get("cells") else []
    parts += [slopes.markdown(result)] if result.get("growth") else []
    parts += [
        part
        for table in tables(result)
        for part in (_table(table), *_notes(table["notes"]), *_work(table, result["machine"]))
    ]
    return "\n\n".join([*parts, _machine(result["machine"])])


def _work(table: dict, about: dict) -> list[str]:
    work = work_of(table)
    if work is None:
        return []
    peaks = about["matrix_product_gflops"], about["memory_read_gb_per_s"]
    said = [
        f"{rate:.3g} {unit} ({100 * rate / peak:.0f} % of {what})"
        for rate, peak, unit, what in zip(
            work,
            peaks,
            ("GFLOP/s", "GB/s"),
            ("a matrix product", "reading memory"),
            strict=True,
        )
        if rate
    ]
    return [f"The first row does {' and '.join(said)}."]


def _table(table: dict) -> str:
    """The reference, then the others, fastest first and failures last.

    Without a reference, None, nothing is compared. A ``column`` names what the check says of each
    row, if that is to be shown.
    """
    rows = [Row(**row) for row in table["rows"]]
    reference = next((r for r in rows if r.name == table["reference"] and not r.error), None)
    first, column = table.get("first_calls", False), table.get("column")
    compared = table["reference"] is not None
    heads = ["", f"ms per {table['unit']}, median (min)"]
    heads += ["times slower than jaxlinear"] * compared
    heads += ["first call, ms"] * first + [column] * bool(column)
    order = sorted(rows, key=lambda row: (row is not reference, speed(row)))
    cells = [_cells(row, reference, compared, first, bool(column)) for row in order]
    return f"**{table['title']}**\n\n{markdown_table(heads, cells)}"


def _cells(
    row: Row, reference: Row | None, compared: bool, first: bool, checked: bool
) -> list[str]:
    name = ", ".join(filter(None, (row.name, row.variant)))
    if row.error:
        return [name, row.error.replace("|", "/"), *[""] * (compared + first + checked)]
    cells = [name, f"{milliseconds(row.median)} ({milliseconds(row.minimum)})"]
    cells += [ratio(row.median / reference.median) if reference else ""] * compared
    # Of a part of a loop the first call, which compiles, says nothing of the whole.
    cells += [milliseconds(row.first) if row.work == 1 else ""] if first else []
    return cells + ([f"{row.checked:g}"] if checked else [])


def _notes(notes: dict) -> list[str]:
    lines = []
    if "first_fit_seconds" in notes:
        lines.append(
            "In a fresh process: import {import_seconds:.2f} s, data to the device "
            "{data_to_device_seconds:.3f} s, first fit with compiling {first_fit_seconds:.2f} s, "
            "second fit {second_fit_seconds:.2f} s.".format(**notes)
        )
    if "first_call_error" in notes:
        lines.append(f"In a fresh process: {notes['first_call_error']}")
    if "cost_of_progress_bar" in notes:
        lines.append(f"A progress bar costs {100 * notes['cost_of_progress_bar']:+.1f} %.")
    if "peak_memory_mb" in notes:
        peaks = (
            f"{name} {peak if isinstance(peak, str) else f'{peak:.0f} MB'}"
            for name, peak in notes["peak_memory_mb"].items()
        )
        lines.append(
            "Peak memory of one call beyond its data, each in a fresh process, compiling included: "
            f"{', '.join(peaks)}."
        )
    return lines


def _machine(about: dict) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items() if v)
    memory = f", {about['memory_gb']:g} GB" if about["memory_gb"] else ""
    commit = f", commit {about['commit']}" if about["commit"] else ""
    return (
        f"{place(about)}{memory}; measured "
        f"{about['matrix_product_gflops']:g} GFLOP/s in a float32 matrix product, "
        f"{about['memory_read_gb_per_s']:g} GB/s reading memory; {about['system']}; {versions}; "
        f"{about['date']}{commit}{' with changes' if about['dirty'] else ''}."
    )
