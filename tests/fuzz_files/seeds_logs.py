"""The training logs that are mutated, as the trainers write them."""

import gzip
import io
import json

import tensorboard.compat.proto.event_pb2  # noqa: F401  its warnings at import are not a reader's
import training_log_files as files

RUN = files.run(12)


def logs(place):
    """{name: (suffix, contents, trainer)}."""
    place = place / "logs"
    place.mkdir()
    answers = files.answers(files.run(3), prompts=3, size=2)
    files.trl_state(place / "trainer_state.json", RUN)
    files.verl_file(place / "verl.jsonl", RUN)
    files.trl_completions(place / "completions", answers)
    files.verl_rollouts(place / "rollouts", answers)
    files.table(place / "open.csv", (row for _, row in files.open_instruct_rows(RUN)))
    files.wandb_chart(place / "chart.csv", RUN, "train/reward", RUN.accuracy)
    for name, rows, prefix in (
        ("openrlhf", files.openrlhf_rows(RUN), "train/"),
        ("verl", files.verl_rows(RUN), ""),
    ):
        files.tensorboard(place / name, [*rows][:10], prefix)
    verl = (place / "verl.jsonl").read_bytes()
    table = [(place / "open.csv").read_bytes()]
    events = [next((place / name).glob("*tfevents*")).read_bytes() for name in ("openrlhf", "verl")]
    return {
        "log trl .json": (".json", [(place / "trainer_state.json").read_bytes()], "trl"),
        "log verl .jsonl": (".jsonl", [verl], "verl"),
        "log verl .jsonl.gz": (".jsonl.gz", [gzip.compress(verl, mtime=0)], "verl"),
        "log csv": (".csv", table, "open-instruct"),
        "log csv.gz": (".csv.gz", [gzip.compress(x, mtime=0) for x in table], "open-instruct"),
        "log chart": (".csv", [(place / "chart.csv").read_bytes()], "plain"),
        "log plain .parquet": (".parquet", _parquet(), "plain"),
        "log plain .jsonl": (".jsonl", [_lines()], "plain"),
        "log events": (".tfevents", events, "openrlhf"),
        "answers .parquet": (".parquet", _contents(place / "completions"), "trl"),
        "answers .jsonl": (".jsonl", _contents(place / "rollouts"), "verl"),
    }


def _contents(folder):
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def _rows():
    names = ("step", "accuracy", "kl", "entropy", "length")
    return [dict(zip(names, map(float, row), strict=True)) for row in zip(*RUN, strict=True)]


def _lines():
    return "".join(json.dumps(row) + "\n" for row in _rows()).encode()


def _parquet():
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = []
    for compression in ("none", "snappy", "zstd"):
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(_rows()), file, compression=compression)
        found.append(file.getvalue())
    return found
