"""Results files: one JSON object a line.

``run`` records come first, one for each number of threads; then ``missing`` ones for what could not
take part, ``refused`` ones for what gave wrong numbers, and ``time`` ones. Times are in seconds a
call.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Record = dict[str, Any]

FOLDER = Path(__file__).resolve().parent / "results"
IDENTITY = ("work", "library", "variant", "shape", "dtype", "pass", "mode", "threads")


def write(path: Path, records: Iterable[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for record in records:
            file.write(json.dumps(_rounded(record), ensure_ascii=False) + "\n")


def read(path: Path) -> list[Record]:
    """Raises ValueError where the file is no results file."""
    records = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: is not JSON: {error}") from None
        if not isinstance(record, dict) or "record" not in record:
            raise ValueError(f"{path}:{number}: must be an object with a 'record', got {line!r}.")
        records.append(record)
    return records


def of(records: Iterable[Record], kind: str, **wanted: Any) -> list[Record]:
    """The records of a kind whose entries are as wanted."""
    return [
        record
        for record in records
        if record["record"] == kind and all(record.get(k) == v for k, v in wanted.items())
    ]


def one(records: Iterable[Record], kind: str, **wanted: Any) -> Record | None:
    """The only record of a kind that is as wanted, or None."""
    found = of(records, kind, **wanted)
    if len(found) > 1:
        raise ValueError(f"{len(found)} records are {wanted}")
    return found[0] if found else None


def identity(record: Record) -> tuple[Any, ...]:
    """What was timed: equal for records of two runs that can be compared."""
    return tuple(
        tuple(value) if isinstance(value := record[name], list) else value for name in IDENTITY
    )


def name(record: Record) -> str:
    """Who was timed: "flax.linen (rbg)"."""
    variant = record["variant"]
    return record["library"] + (f" ({variant})" if variant else "")


def setting(record: Record) -> str:
    """How it was timed: "1024×1024 float32 forward jit"."""
    shape = "×".join(map(str, record["shape"]))
    return f"{shape} {record['dtype']} {record['pass']} {record['mode']}"


def is_like_linen(record: Record) -> bool:
    """flax.nnx with another key than the default: much the same as flax.linen with it."""
    return record["library"] == "flax.nnx" and record["variant"] != "threefry2x32"


def clock(records: Iterable[Record]) -> str:
    """Of the two, the one to compare by: what else runs disturbs CPU time least."""
    platforms = {run["platform"] for run in of(records, "run")}
    return "cpu" if platforms <= {"cpu"} else "wall"


def nanoseconds(record: Record) -> float:
    """Median wall time of an element."""
    return record["wall"]["median"] / record["elements"] * 1e9


def relative(record: Record, base: Record, clock: str) -> float:
    """How many times as long as another it takes."""
    return record[clock]["median"] / base[clock]["median"]


def _rounded(value: Any) -> Any:
    """Floats with four digits: more would be noise."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    return value
