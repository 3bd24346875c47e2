"""§11.3 Snapshots."""

from dataclasses import dataclass

from .encoding import Time, decode_text, read_record
from .errors import Malformed, blaming
from .keys import digest
from .nodes import NodeName, read_node_name
from .paths import refuse_bad_path


@dataclass(frozen=True)
class Source:
    """A folder or file that was backed up."""

    label: bytes
    place: bytes
    file_count: int
    byte_count: int
    file_list: NodeName


@dataclass(frozen=True)
class Snapshot:
    """The state of some sources at one time."""

    id: bytes
    number: int
    time: Time
    device: bytes
    device_name: str
    sources: list[Source]
    problem_count: int


def read_snapshots(live_rows: dict[bytes, bytes]) -> list[Snapshot]:
    """All snapshots, the oldest first. One that is refused forbids to go on: less would be shown than there is."""
    snapshots = []
    for snapshot_id, row in live_rows.items():
        with blaming(f"snapshot {snapshot_id.hex()}"):
            snapshots.append(_read_snapshot(snapshot_id, row))
    return sorted(snapshots, key=lambda snapshot: (snapshot.number, snapshot.id))


def _read_snapshot(snapshot_id: bytes, data: bytes) -> Snapshot:
    if digest("hushkeep/1 snapshot id", data) != snapshot_id:
        raise Malformed("its id is not that of its record")
    record = read_record(data, last_known=6)
    sources = [_read_source(cursor.byte_string()) for cursor in record.cursor(5).items()]
    if len({source.label for source in sources}) != len(sources):
        raise Malformed("two of its sources have one label")
    return Snapshot(
        id=snapshot_id,
        number=record.integer(1),
        time=record.time(2),
        device=record.fixed(3, 16),
        device_name=decode_text(record.raw(4)),
        sources=sources,
        problem_count=record.integer(6),
    )


def _read_source(data: bytes) -> Source:
    record = read_record(data, last_known=5)
    label = record.raw(1)
    refuse_bad_path(label)
    if not label or b"/" in label:
        raise Malformed("a label is not one component")
    node = record.cursor(5)
    file_list = read_node_name(node)
    node.end()
    return Source(
        label=label,
        place=record.raw(2),
        file_count=record.integer(3),
        byte_count=record.integer(4),
        file_list=file_list,
    )
