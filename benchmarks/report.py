"""Result files, and the Markdown tables that are made of them and of nothing else."""

import json
from pathlib import Path

from benchmarks import machine
from benchmarks.harness import Row

RESULTS = Path(__file__).with_name("results")


def write(result: dict, folder: Path = RESULTS) -> Path:
    """Write ``<question>-<device>.json``; an older answer on the same device is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['question']}-{machine.name()}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def read(folder: Path = RESULTS) -> list[dict]:
    """All results of a folder, by name."""
    return [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]


def tables(result: dict) -> list[dict]:
    """The tables of a result, which is one itself unless it holds several."""
    return result.get("tables", [result])


def markdown(result: dict) -> str:
    """Each table with its notes, then the machine."""
    parts = [part for table in tables(result) for part in (_table(table), *_notes(table["notes"]))]
    return "\n\n".join([*parts, _machine(result["machine"])])


def _table(table: dict) -> str:
    """The reference, then the others, fastest first and failures last.

    A ``column`` names what the check says of each row, if that is to be shown.
    """
    rows = [Row(**row) for row in table["rows"]]
    reference = next((r for r in rows if r.name == table["reference"] and not r.error), None)
    heads = ["", f"ms per {table['unit']}, median (min)", "times slower than jaxlinear"]
    first, column = table.get("first_calls", False), table.get("column")
    heads += ["first call, ms"] * first + [column] * bool(column)
    lines = [f"**{table['title']}**", "", _joined(heads), "|---|" + "--:|" * (len(heads) - 1)]
    order = sorted(rows, key=lambda row: (row is not reference, _speed(row)))
    return "\n".join([*lines, *(_line(row, reference, first, bool(column)) for row in order)])


def _joined(cells: list[str]) -> str:
    return "".join(f"| {cell} " for cell in cells).replace("|  ", "| ") + "|"


def _speed(row: Row) -> float:
    return float("inf") if row.error else row.median


def _line(row: Row, reference: Row | None, first: bool, checked: bool) -> str:
    name = ", ".join(filter(None, (row.name, row.variant)))
    if row.error:
        return _joined([name, row.error.replace("|", "/"), *[""] * (1 + first + checked)])
    cells = [name, f"{_ms(row.median)} ({_ms(row.minimum)})"]
    cells += [_ratio(row.median / reference.median) if reference else ""]
    # Of a part of a loop the first call, which compiles, says nothing of the whole.
    cells += [_ms(row.first) if row.work == 1 else ""] if first else []
    return _joined(cells + ([f"{row.checked:g}"] if checked else []))


def _ratio(slower: float) -> str:
    """One decimal, and two digits for what is faster."""
    return f"{slower:.1f}" if slower >= 1 else f"{slower:.2g}"


def _ms(seconds: float) -> str:
    """Three significant digits: more would be noise."""
    return f"{float(f'{1e3 * seconds:.3g}'):g}"


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
    memory = f"{about['memory_gb']:g} GB, " if about["memory_gb"] else ""
    commit = f", commit {about['commit']}" if about["commit"] else ""
    return (
        f"{about['cpu']}, {about['cores']} cores, {memory}{about['device']}; measured "
        f"{about['matrix_product_gflops']:g} GFLOP/s in a float32 matrix product, "
        f"{about['memory_read_gb_per_s']:g} GB/s reading memory; {about['system']}; {versions}; "
        f"{about['date']}{commit}{' with changes' if about['dirty'] else ''}."
    )
