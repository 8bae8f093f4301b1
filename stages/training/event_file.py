"""An event file, as TensorBoard reads it, in which what was added can be seen at once.

tensorboardX writes such files through a queue that a thread empties. On a full disk the thread ends, the queue fills
up, and training would wait for ever; here the step fails, and the stage says why.
"""

import errno
import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c


class EventFile:
    """A new event file, whose name begins with the time: TensorBoard reads those of a folder in their names' order.

    Args:
        folder: Where.
        step: The first that will be shown; of an earlier file, TensorBoard drops it and all later ones.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._file = (folder / f"events.out.tfevents.{time.time_ns()}").open("xb", buffering=0)
        self._add(Event(file_version="brain.Event:2"))
        self.start(step)

    def start(self, step: int) -> None:
        """Let that step be the next one, whatever there is of it and of later ones."""
        self._add(Event(step=step, session_log=SessionLog(status=SessionLog.START)))

    def show(self, figures: Mapping[str, float], step: int) -> None:
        """Add the figures of a step, by name."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._add(Event(step=step, summary=Summary(value=values)))

    def close(self) -> None:
        """End the file."""
        self._file.close()

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        content = event.SerializeToString()
        length = struct.pack("<Q", len(content))
        record = b"".join([length, _checksum(length), content, _checksum(content)])
        if self._file.write(record) < len(record):  # what follows would be read as its end
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._file.name)


def _checksum(content: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(content))
