"""The disks that a power cut may leave: a recording of what programs did to
a database's files (recorder.c), and for any moment of it the allowed states.

What is allowed of a file: what was written before its last sync is there. Of
what came after, each write is there or not, whatever else is, or in part: a
sector of 512 bytes is written whole or not at all. Truncations since the sync
have happened or not.

What is allowed of the folder: files that were made, removed or renamed are so
from the folder's last sync on; before that some of it has happened, the earlier
before the later, as file systems with a journal have it. The sync of a file
does not sync its name."""

import fcntl
import os
import struct

_RECORD = struct.Struct("=IIIIQ")
SECTOR = 512
FOLDER = "/"


class Record:
    """One operation: "W"rite, "T"runcate, "S"ync on a file; "C"reate, "U"nlink,
    "R"ename, "D" for a sync, on the folder; an "A"nswer or a "N"ote."""

    __slots__ = ("op", "file", "at", "data")

    def __init__(self, op, file, at, data):
        self.op = op
        self.file = file  # a number: files change their names
        self.at = at
        self.data = data  # of a folder's operation: the name, or both


class Reader:
    """Makes operations of a log, in which files have names."""

    def __init__(self):
        self.records = []
        self._names = {}
        self._open = {}
        self._count = 0

    def exists(self, name, data):
        """A file that is on the disk with its name."""
        number = self._find(name)
        self._add("W", number, 0, data)
        self._add("S", number)
        self._add("D")

    def read(self, path):
        """A whole log."""
        with open(path, "rb") as log:
            text = log.read()
        position = 0
        while position < len(text):
            op, pid, fd, size, at = _RECORD.unpack_from(text, position)
            position += _RECORD.size
            self._take(chr(op), (pid, fd), at, text[position:position + size])
            position += size

    def _add(self, op, file=None, at=0, data=b""):
        self.records.append(Record(op, file, at, data))

    def _find(self, name):
        """The number of the file; one that nobody has seen is new."""
        if name not in self._names:
            self._count += 1
            self._names[name] = self._count
            self._add("C", self._count, 0, name)
        return self._names[name]

    def _take(self, op, handle, at, data):
        if op in "AN":
            self._add(op, None, 0, data)
        elif op == "O":
            name = data.decode()
            self._open[handle] = FOLDER if name == FOLDER else self._find(name)
        elif op == "U":
            self._names.pop(data.decode(), None)
            self._add("U", None, 0, data.decode())
        elif op == "R":
            old, new = data.decode().split("\0")
            self._names[new] = self._names.pop(old)
            self._add("R", None, 0, (old, new))
        elif self._open[handle] == FOLDER:
            self._add("D")
        else:
            self._add(op, self._open[handle], at, data)


def note(path, text):
    """Adds a note to a log that programs write."""
    with open(path, "ab") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        log.write(_RECORD.pack(ord("N"), os.getpid(), 0, len(text), 0)
                  + text.encode())


class Image:
    """A file's bytes. The zeros at its end take no room."""

    def __init__(self, data=b"", size=0):
        self.data = bytearray(data)
        self.size = max(size, len(self.data))

    def copy(self):
        return Image(self.data, self.size)

    def write(self, at, data):
        self.size = max(self.size, at + len(data))
        inside = max(0, len(self.data) - at)
        data = data[:inside] + data[inside:].rstrip(b"\0")
        if data:
            self.data.extend(bytes(max(0, at - len(self.data))))
            self.data[at:at + len(data)] = data

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
    else:
        image.truncate(record.at)


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


class Folder:
    """All files while the recording is played, and their names."""

    def __init__(self):
        self._files = {}
        self._synced = {}
        self._pending = []

    def take(self, record):
        """One operation more."""
        if record.op in "CUR":
            self._pending.append(record)
            if record.op == "C":
                self._files[record.file] = File()
        elif record.op == "D":
            self._synced = self._names(len(self._pending))
            self._pending = []
        elif record.op in "WTS":
            self._files[record.file].take(record)

    def _names(self, count):
        names = dict(self._synced)
        for record in self._pending[:count]:
            if record.op == "C":
                names[record.data] = record.file
            elif record.op == "U":
                names.pop(record.data, None)
            else:
                old, new = record.data
                names[new] = names.pop(old)
        return names

    def pending(self):
        """The most operations that wait for the sync of one file."""
        return max((len(f.pending) for f in self._files.values()), default=0)

    def state(self, choose):
        """(name, image) of each file of a state; see File.state()."""
        count = sum(map(bool, choose(self._pending)))
        for name, number in self._names(count).items():
            yield name, self._files[number].state(choose)


def nothing(pending):
    """Nothing since the sync."""
    return [False] * len(pending)


def names(pending):
    """What befell the folder, and nothing of what is in its files."""
    return [record.op in "CUR" for record in pending]


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
