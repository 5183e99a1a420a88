"""What a disk may hold after a power loss in the midst of a change: the old files or the new ones.

The model is weaker than any file system in use: until a folder is synced, each of its new, changed and removed entries
is on the disk or not, independent of the others, even the two ends of one rename; and until a file is synced it is
empty.
"""
import os
import random
from pathlib import Path

import pytest
from test_transaction import MINE, NEXT, RUN, change, check_at_rest, read

from minnet import files
from minnet.study import transaction
from minnet.study.transaction import finish

FOLDER, FILE, LINK = "folder", "file", "link"


class Node:
    """A folder, file or link: what a program sees in it, and what is known to be on the disk."""

    def __init__(self, kind, value):
        self.kind, self.value = kind, value
        self.durable = {} if kind == FOLDER else value if kind == LINK else b""
        self.pending = []  # of a folder: (name, node or None)

    def put(self, name, node):
        self.pending.append((name, node))
        if node is None:
            del self.value[name]
        else:
            self.value[name] = node

    def sync(self):
        self.durable = dict(self.value) if self.kind == FOLDER else self.value
        self.pending = []

    def after_loss(self, keep):
        """What is on the disk: {name: such a value} of a folder; keep() decides for each entry that is not synced."""
        if self.kind != FOLDER:
            return self.kind, self.durable
        entries = dict(self.durable)
        for name, node in self.pending:
            if keep():
                entries[name] = node
        return FOLDER, {name: node.after_loss(keep) for name, node in entries.items() if node is not None}


class Disk:
    """`os` and `shutil.rmtree`: does what they do, and the same to the model; `look` is called before and after."""

    def __init__(self, root, look):
        self.root, self.look, self.descriptors = root, look, {}
        self.top = self.scanned(root)

    def scanned(self, path):
        """The node of what is on the real disk already."""
        if path.is_symlink():
            return Node(LINK, os.readlink(path))
        node = Node(FOLDER, {p.name: self.scanned(p) for p in path.iterdir()}) if path.is_dir() else Node(
            FILE, path.read_bytes())
        node.sync()
        return node

    def node(self, path):
        found = self.top
        for part in Path(path).relative_to(self.root).parts:
            found = found.value[part]
        return found

    def put(self, path, node):
        self.node(Path(path).parent).put(Path(path).name, node)
        self.look(self.top)

    def __getattr__(self, name):
        return getattr(__import__("shutil") if name in ("rmtree", "copystat") else os, name)

    def mkdir(self, path):
        os.mkdir(path)
        self.put(path, Node(FOLDER, {}))

    def symlink(self, target, path):
        os.symlink(target, path)
        self.put(path, Node(LINK, str(target)))

    def link(self, source, path):
        os.link(source, path)
        self.put(path, self.node(source))

    def replace(self, source, path):
        os.replace(source, path)
        self.put(path, self.node(source))
        self.put(source, None)

    def unlink(self, path):
        os.unlink(path)
        self.put(path, None)

    def open(self, path, flags, *mode):
        descriptor = os.open(path, flags, *mode)
        if flags & os.O_CREAT:
            self.put(path, Node(FILE, b""))
        self.descriptors[descriptor] = self.node(path)
        return descriptor

    def write(self, descriptor, data):
        self.descriptors[descriptor].value += bytes(data)
        return os.write(descriptor, data)

    def fsync(self, descriptor):
        self.look(self.top)
        self.descriptors[descriptor].sync()
        self.look(self.top)

    def rmtree(self, path, ignore_errors):
        for entry in os.listdir(path):
            if os.path.isdir(path / entry) and not os.path.islink(path / entry):
                self.rmtree(path / entry, ignore_errors)
            else:
                self.unlink(path / entry)
        os.rmdir(path)
        self.put(path, None)


def written(path, value):
    """Write such a value to a real disk."""
    kind, content = value
    if kind == LINK:
        path.symlink_to(content)
    elif kind == FILE:
        path.write_bytes(content)
    else:
        path.mkdir()
        for name, entry in content.items():
            written(path / name, entry)


def made(root, contents):
    root.mkdir()
    for name, content in (contents | MINE).items():
        (root / name).write_bytes(content)
    return root


@pytest.mark.parametrize("links", [True, False], ids=["links", "journal"])
@pytest.mark.parametrize("before", [RUN, {}], ids=["a run", "no run"])
def test_a_power_loss_at_any_moment_leaves_the_old_files_or_the_new_ones(tmp_path, monkeypatch, before, links):
    rng, states = random.Random(0), []

    def look(top):
        chances = (0, 0.5, 0.5, 0.5, 1)
        states.extend(top.after_loss(lambda chance=chance: rng.random() < chance) for chance in chances)
    folder = made(tmp_path / "out", before)
    disk = Disk(folder, look)
    for module, name in ((files, "os"), (transaction, "os"), (transaction, "shutil")):
        monkeypatch.setattr(module, name, disk)
    if not links:
        monkeypatch.setattr(transaction, "_can_link", lambda aside: False)
    change(folder)
    monkeypatch.undo()
    seen = []
    for number, value in enumerate(value for i, value in enumerate(states) if value not in states[:i]):
        place = tmp_path / str(number)
        written(place, value)
        found = read(place)
        finish(place)
        seen.append(read(place))
        assert seen[-1] in (before, NEXT) and (seen[-1] == found or not links), value
        check_at_rest(place)
    assert seen[0] == before and seen[-1] == NEXT == read(folder)
    first = seen.index(NEXT)
    assert number > 30 and first > 10
