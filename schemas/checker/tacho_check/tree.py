"""The tree of RFC 6962: growing roots, inclusion and consistency."""

from .hashes import sha256

EMPTY = sha256(b"")


def leaf_hash(record):
    return sha256(b"\0" + record)


def node_hash(left, right):
    return sha256(b"\1" + left + right)


class Tree:
    """A tree that only grows. It keeps one hash for each complete subtree of the present size."""

    def __init__(self):
        self.size = 0
        self._peaks = []  # (leaves, hash), the widest first

    def add(self, leaf):
        self.add_subtree(1, leaf)

    def add_subtree(self, width, node):
        """Adds so many leaves at once, of which only the root is known. The size is a multiple of the width."""
        self.size += width
        while self._peaks and self._peaks[-1][0] == width:
            node = node_hash(self._peaks.pop()[1], node)
            width *= 2
        self._peaks.append((width, node))

    def root(self):
        if not self._peaks:
            return EMPTY
        node = self._peaks[-1][1]
        for _, left in reversed(self._peaks[:-1]):
            node = node_hash(left, node)
        return node


def covers(start, end):
    """The widths of the largest complete subtrees that cover the leaves from `start` to before `end`, from the left."""
    while start < end:
        width = 1 << (end - start).bit_length() - 1
        if start:
            width = min(width, start & -start)
        yield width
        start += width


TILE = 256


class Tiles:
    """The full tiles over the leaves so far, by the number under which the database keeps them."""

    def __init__(self):
        self.full = {}  # number: (first record under it, records under each hash, hashes)
        self._open = []  # a row of hashes for each level

    def add(self, node, level=0):
        if level == len(self._open):
            self._open.append([0, []])
        row = self._open[level]
        row[1].append(node)
        if len(row[1]) == TILE:
            index, nodes = row
            self._open[level] = [index + 1, []]
            self.full[level << 48 | index] = (index * TILE ** (level + 1), TILE**level, b"".join(nodes))
            above = Tree()
            for node in nodes:
                above.add(node)
            self.add(above.root(), level + 1)


def tile_count(size):
    """How many tiles are full in a log of that size."""
    count = 0
    while size:
        size //= TILE
        count += size
    return count


def inclusion_root(index, size, leaf, path):
    """The root that an inclusion proof leads to (RFC 9162, 2.1.3.2), or None if the path does not fit."""
    if not 0 <= index < size or len(leaf) != 32:
        return None
    node, last = leaf, size - 1
    for sibling in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            node = node_hash(sibling, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        index, last = index >> 1, last >> 1
    return node if last == 0 else None


def consistent(first, second, first_root, second_root, path):
    """Whether a consistency proof shows that the tree of `second` records begins with that of `first` (RFC 9162, 2.1.4.2)."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not path and first_root == second_root
    path = list(path)
    if first & first - 1 == 0:
        path.insert(0, first_root)
    if not path:
        return False
    index, last = first - 1, second - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and (old, new) == (first_root, second_root)
