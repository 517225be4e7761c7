"""The disks that a power cut may leave: a recording of what programs did to
a database's files (recorder.c), and for any moment of it the allowed states.

What is allowed: what was written before the file's last sync is there. Of
what came after, each write is there or not, whatever else is, or in part: a
sector of 512 bytes is written whole or not at all. Truncations since the sync
have happened or not. A file that was unlinked is gone or, until something
else syncs its folder, still there."""

import struct

_RECORD = struct.Struct("=IIIIQ")
SECTOR = 512


class Record:
    """One operation: "W"rite, "T"runcate, "S"ync, "U"nlink, or an "A"nswer."""

    __slots__ = ("op", "file", "at", "data")

    def __init__(self, op, file, at, data):
        self.op = op
        self.file = file  # its name behind the database's path
        self.at = at
        self.data = data


def read_records(path):
    """All records of a log, in order."""
    with open(path, "rb") as log:
        text = log.read()
    names, records, position = {}, [], 0
    while position < len(text):
        op, pid, fd, size, at = _RECORD.unpack_from(text, position)
        position += _RECORD.size
        data = text[position:position + size]
        position += size
        op = chr(op)
        if op == "O":
            names[pid, fd] = data.decode()
        elif op == "A":
            records.append(Record(op, None, 0, data))
        elif op == "U":
            records.append(Record(op, data.decode(), 0, b""))
        else:
            records.append(Record(op, names[pid, fd], at, data))
    return records


class Image:
    """A file's bytes. The zeros at its end take no room."""

    def __init__(self, data=b"", size=0):
        self.data = bytearray(data)
        self.size = max(size, len(self.data))

    def copy(self):
        return Image(self.data, self.size)

    def write(self, at, data):
        end = at + len(data)
        self.size = max(self.size, end)
        if len(self.data) < end:
            data = data.rstrip(b"\0")
            end = at + len(data)
            if data and len(self.data) < end:
                self.data.extend(bytes(end - len(self.data)))
        self.data[at:min(end, len(self.data))] = data[:max(
            0, min(end, len(self.data)) - at)]

    def truncate(self, size):
        del self.data[size:]
        self.size = size


class File:
    """A file while the recording is played: what is surely on the disk, and
    what may be."""

    def __init__(self):
        self.synced = Image()
        self.pending = []

    def take(self, record):
        """One operation more."""
        if record.op == "S":
            for each in self.pending:
                _apply(self.synced, each)
            self.pending = []
        else:
            self.pending.append(record)

    def state(self, choose):
        """An image with of the pending operations what `choose(n)` says: a
        list of n truths, or of sectors' (see torn())."""
        image = self.synced.copy()
        for record, part in zip(self.pending, choose(self.pending)):
            if part is True:
                _apply(image, record)
            elif part:
                _apply_torn(image, record, part)
        return image


def _apply(image, record):
    if record.op == "W":
        image.write(record.at, record.data)
    elif record.op == "T":
        image.truncate(record.at)
    else:
        image.truncate(0)


def _apply_torn(image, record, random):
    """Each sector of the write is there or not; a truncation is."""
    if record.op != "W":
        _apply(image, record)
        return
    at, end = record.at, record.at + len(record.data)
    while at < end:
        stop = min(end, (at // SECTOR + 1) * SECTOR)
        if random.random() < 0.5:
            image.write(at, record.data[at - record.at:stop - record.at])
        at = stop


def nothing(pending):
    """Nothing since the sync."""
    return [False] * len(pending)


def everything(pending):
    """All of it."""
    return [True] * len(pending)


def first(count):
    """The first so many."""
    return lambda pending: [n < count for n in range(len(pending))]


def some(random):
    """Any of them, whole."""
    share = random.random()
    return lambda pending: [random.random() < share for _ in pending]


def torn(random):
    """Any of them, some in part."""
    return lambda pending: [
        random.choice([True, False, random]) for _ in pending
    ]
