"""Trees of directories and files, from pfs-tree(5) alone: no line of the C is used.

    pfstree.py STORE ls ROOT            every path below a directory
    pfstree.py STORE extract ROOT PATH  the bytes of a file

It also writes: trees built here have the ids that the C gives them. Slow on
purpose; Python's standard library only.
"""
import hashlib
import os
import struct
import sys
from collections import Counter, namedtuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pfsread import Damage, Store, parse_id, require, run  # noqa: E402

CHUNK, SEQ, DIR, XATTRS = 1, 2, 3, 6
INLINE, ONE_CHUNK, SEQUENCE, DIRECTORY, SYMLINK, FIFO, SOCKET, CHR, BLK = range(9)
ZERO = bytes(32)
MASK = (1 << 64) - 1
REACH, TAIL, MAX, HOLE = 32768, 8192, 262144, 65536
H = 4096

Entry = namedtuple('Entry', 'name kind mode sec nsec uid gid xattrs link size data id entries bytes rdev',
                   defaults=(0o644, 0, 0, 0, 0, ZERO, 0, 0, b'', ZERO, 0, 0, 0))
Child = namedtuple('Child', 'name id direct entries bytes')
Piece = namedtuple('Piece', 'kind bytes id chunks seed')     # kind 3: a child node


# --- numbers -----------------------------------------------------------------

def varint(v):
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7F | 0x80)
        v >>= 7
    out.append(v)
    return bytes(out)


def zigzag(v):
    """Of a difference of two 64-bit numbers, taken modulo 2^64."""
    v &= MASK
    return 2 * v if v < 1 << 63 else 2 * ((1 << 64) - v) - 1


def signed(v):
    v &= MASK
    return v if v < 1 << 63 else v - (1 << 64)


class Reader:
    def __init__(self, data, offset):
        self.data, self.at = data, offset

    def take(self, n):
        require(self.at + n <= len(self.data), 'entry is cut short')
        self.at += n
        return self.data[self.at - n:self.at]

    def varint(self):
        v = shift = 0
        while True:
            [byte] = self.take(1)
            v |= (byte & 0x7F) << shift
            require(shift < 63 or v <= MASK, 'number of more than 64 bits')
            if byte < 0x80:
                require(byte or not shift, 'number not in its shortest form')
                return v
            shift += 7


# --- directory nodes ---------------------------------------------------------

def put_name(before, name):
    shared = len(os.path.commonprefix([before, name]))
    return varint(shared) + varint(len(name) - shared) + name[shared:]


def put_leaf(e, base, owner):
    bits = ((e.uid, e.gid) != owner) << 4 | (e.xattrs != ZERO) << 5 | (e.nsec != 0) << 6 | (e.link != 0) << 7
    out = bytes([e.kind | bits]) + varint(e.mode) + varint(zigzag(e.sec - base))
    if e.nsec:
        out += varint(e.nsec)
    if (e.uid, e.gid) != owner:
        out += varint(e.uid) + varint(e.gid)
    if e.xattrs != ZERO:
        out += e.xattrs
    if e.link:
        out += varint(e.link)
    if e.kind in (INLINE, SYMLINK):
        out += varint(len(e.data)) + e.data
    elif e.kind in (ONE_CHUNK, SEQUENCE):
        out += varint(e.size) + e.id
    elif e.kind == DIRECTORY:
        out += e.id + varint(e.entries) + varint(e.bytes)
    elif e.kind in (CHR, BLK):
        out += varint(e.rdev)
    return out


def sums_of(level, items):
    if level:
        return tuple(sum(getattr(c, f) for c in items) for f in ('direct', 'entries', 'bytes'))
    size = {INLINE: lambda e: len(e.data), ONE_CHUNK: lambda e: e.size, SEQUENCE: lambda e: e.size,
            DIRECTORY: lambda e: e.bytes}
    return (len(items), len(items) + sum(e.entries for e in items),
            sum(size.get(e.kind, lambda e: 0)(e) for e in items))


def encode_dir(level, forced, items):
    base, owner = 0, (0, 0)
    if level == 0:
        base = min(e.sec for e in items)
        counts = Counter((e.uid, e.gid) for e in items)
        owner = min(counts, key=lambda o: (-counts[o], o))
    out = b'DN' + struct.pack('<BBHBBQQQqII', 1, level, len(items), 16, forced, *sums_of(level, items),
                              base, *owner)
    restarts, before = [], b''
    for i, e in enumerate(items):
        if i % 16 == 0:
            restarts.append(len(out))
            before = b''
        out += put_name(before, e.name)
        before = e.name
        out += (e.id + varint(e.direct) + varint(e.entries) + varint(e.bytes)) if level else \
            put_leaf(e, base, owner)
    end = len(out)
    return out + b''.join(struct.pack('<I', r) for r in restarts) + struct.pack('<I', end)


def get_leaf(r, name, base, owner):
    [bits] = r.take(1)
    e = {'name': name, 'kind': bits & 15, 'mode': r.varint(), 'sec': signed(base + unzigzag(r.varint()))}
    if bits & 0x40:
        e['nsec'] = r.varint()
    e['uid'], e['gid'] = (r.varint(), r.varint()) if bits & 0x10 else owner
    if bits & 0x20:
        e['xattrs'] = r.take(32)
    if bits & 0x80:
        e['link'] = r.varint()
    if e['kind'] in (INLINE, SYMLINK):
        e['data'] = r.take(r.varint())
        e['size'] = len(e['data'])
    elif e['kind'] in (ONE_CHUNK, SEQUENCE):
        e['size'], e['id'] = r.varint(), r.take(32)
    elif e['kind'] == DIRECTORY:
        e['id'], e['entries'], e['bytes'] = r.take(32), r.varint(), r.varint()
    elif e['kind'] in (CHR, BLK):
        e['rdev'] = r.varint()
    require(e['kind'] <= BLK, 'unknown kind %d' % e['kind'])
    require(e['kind'] != DIRECTORY or 'link' not in e, 'directory with a hard-link group')
    return Entry(**e)


def unzigzag(v):
    return v >> 1 if v % 2 == 0 else -(v >> 1) - 1


def decode_dir(data):
    """(level, forced, items) of a node; what is not the one encoding of them is damage."""
    require(len(data) >= 56 and data[:2] == b'DN', 'not a directory node')
    version, level, count, restart, flags = struct.unpack('<BBHBB', data[2:8])
    require(version == 1 and restart == 16 and flags in (0, 1) and level <= 12, 'unknown directory node')
    base, uid, gid = struct.unpack('<qII', data[32:48])
    [end] = struct.unpack('<I', data[-4:])
    r, items, before = Reader(data[:end], 48), [], b''
    for i in range(count):
        before = b'' if i % 16 == 0 else before
        shared = r.varint()
        name = before[:shared] + r.take(r.varint())
        require(0 < len(name) <= 255 and not set(name) & {0, 47} and name not in (b'.', b'..'), 'not a name')
        items.append(Child(name, r.take(32), r.varint(), r.varint(), r.varint()) if level else
                     get_leaf(r, name, base, (uid, gid)))
        before = name
    names = [e.name for e in items]
    require(names == sorted(set(names)), 'names out of order')
    require(encode_dir(level, flags, items) == data, 'not in canonical form')
    return level, flags, items


# --- hard links --------------------------------------------------------------

def link_numbers(key, names):
    """path -> number, for all names of one file."""
    if len(names) < 2:
        return {name: 0 for name in names}
    parts = [name.split(b'/') for name in names]
    home = os.path.commonprefix([p[:-1] for p in parts])
    first = min(parts)[len(home):]
    f = siphash(key, b'\xff' + b'/'.join(first)) // 2048 or 1
    return {b'/'.join(p): 2048 * f + len(p) - 1 - len(home) for p in parts}


# --- attribute sets ----------------------------------------------------------

def encode_xattrs(attributes):
    """name -> value."""
    return b'XA' + struct.pack('<BBI', 1, 0, len(attributes)) + \
        b''.join(varint(len(n)) + n + varint(len(v)) + v for n, v in sorted(attributes.items()))


def decode_xattrs(data):
    require(8 < len(data) <= 1048576 and data[:4] == b'XA\x01\x00', 'not a set of attributes')
    r, found = Reader(data, 8), {}
    for _ in range(struct.unpack('<I', data[4:8])[0]):
        name = r.take(r.varint())
        found[name] = r.take(r.varint())
        require(0 < len(name) <= 255 and 0 not in name and len(found[name]) <= 65536, 'not an attribute')
    require(sum(len(n) + 1 for n in found) <= 65536, 'more names than can be listed')
    require(encode_xattrs(found) == data, 'not in canonical form')
    return found


# --- sequence nodes ----------------------------------------------------------

def encode_seq(level, forced, items):
    out = b'SN' + struct.pack('<BBHBBQQ', 1, level, len(items), 1, forced, sum(p.bytes for p in items),
                              sum(p.chunks for p in items))
    table, before = b'', 0
    for i, p in enumerate(items):
        if i % 16 == 0:
            table += struct.pack('<IQ', len(out), before)
        if level:
            out += varint(p.bytes) + varint(p.chunks) + struct.pack('<Q', p.seed) + p.id
        else:
            out += varint(p.bytes << 2 | p.kind) + (p.id if p.kind < 2 else b'')
        before += p.bytes
    return out + table


def decode_seq(data):
    require(len(data) > 24 and data[:2] == b'SN', 'not a sequence node')
    version, level, count, chunker, flags = struct.unpack('<BBHBB', data[2:8])
    require(version == 1 and chunker == 1 and flags in (0, 1) and level <= 12, 'unknown sequence node')
    r, items = Reader(data[:len(data) - 12 * ((count + 15) // 16)], 24), []
    for _ in range(count):
        first = r.varint()
        if level:
            chunks, [seed] = r.varint(), struct.unpack('<Q', r.take(8))
            items.append(Piece(3, first, r.take(32), chunks, seed))
        else:
            kind, length = first & 3, first >> 2
            require(kind < 3 and length > 0, 'unknown entry')
            items.append(piece(kind, length, r.take(32) if kind < 2 else b''))
    require(encode_seq(level, flags, items) == data, 'not in canonical form')
    return level, flags, items


def piece(kind, length, digest):
    seed = length if kind == 2 else struct.unpack('<Q', digest[:8])[0]
    return Piece(kind, length, digest, int(kind != 2), seed)


# --- node boundaries ---------------------------------------------------------

def siphash(key, data):
    k0, k1 = struct.unpack('<QQ', key)
    v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573]

    def rotl(x, n):
        return (x << n | x >> (64 - n)) & MASK

    def rounds(n):
        for _ in range(n):
            v[0] = v[0] + v[1] & MASK
            v[1] = rotl(v[1], 13) ^ v[0]
            v[0] = rotl(v[0], 32)
            v[2] = v[2] + v[3] & MASK
            v[3] = rotl(v[3], 16) ^ v[2]
            v[0] = v[0] + v[3] & MASK
            v[3] = rotl(v[3], 21) ^ v[0]
            v[2] = v[2] + v[1] & MASK
            v[1] = rotl(v[1], 17) ^ v[2]
            v[2] = rotl(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for at in range(0, len(padded), 8):
        [word] = struct.unpack_from('<Q', padded, at)
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def is_maximum(ends, priority, i, reach):
    j = i - 1
    while j >= 0 and ends[i] - ends[j] <= reach:
        if priority[j] >= priority[i]:
            return False
        j -= 1
    j = i + 1
    while j < len(ends) and ends[j] - ends[i] <= reach:
        if priority[j] > priority[i]:
            return False
        j += 1
    return True


def split(weights, priority):
    """(count, forced) of each node of a level."""
    ends, total = [], 0
    for w in weights:
        total += w
        ends.append(total)
    bounds = [i for i in range(len(ends)) if total > 4 * H and ends[i] >= H and total - ends[i] >= H // 2 and
              is_maximum(ends, priority, i, H)]
    first = start = 0
    for bound in bounds + [len(ends) - 1]:
        while ends[bound] - start > 8 * H:
            last = max(i for i in range(first, bound + 1) if ends[i] - start <= 8 * H)
            yield last + 1 - first, 1
            first, start = last + 1, ends[last]
        if bound >= first:
            yield bound + 1 - first, 0
            first, start = bound + 1, ends[bound]


def build(items, weigh, message, key, put):
    """Levels over the items until one node is left: its id."""
    level = 0
    while True:
        nodes, at = [], 0
        priority = [siphash(key, message(level, item)) for item in items]
        for count, forced in split([weigh(level, item) for item in items], priority):
            nodes.append(put(level, forced, items[at:at + count]))
            at += count
        if len(nodes) == 1:
            return nodes[0].id
        items, level = nodes, level + 1


class Writer:
    """Trees under the keys of a store; objects go to a dict."""

    def __init__(self, store):
        self.store, self.objects = store, {}
        self.table, self.key2 = gear(store.gear_key)

    def put(self, kind, data):
        digest = self.store.object_id(kind, data)
        self.objects[digest] = data
        return digest

    def put_dir(self, level, forced, items):
        return Child(items[-1].name, self.put(DIR, encode_dir(level, forced, items)), *sums_of(level, items))

    def directory(self, entries):
        if not entries:
            return ZERO
        return build(sorted(entries, key=lambda e: e.name),
                     lambda level, e: 48 + len(e.name) + (0 if level else len(e.data)),
                     lambda level, e: bytes([level]) + e.name, self.store.tree_key, self.put_dir)

    def put_seq(self, level, forced, items):
        return Piece(3, sum(p.bytes for p in items), self.put(SEQ, encode_seq(level, forced, items)),
                     sum(p.chunks for p in items), items[-1].seed)

    def content(self, data):
        """(kind, id) of a file's bytes; inline ones have no id."""
        if len(data) <= 256:
            return INLINE, ZERO
        pieces = []
        for hole, segment in segments(data):
            if hole:
                pieces.append(piece(2, len(segment), b''))
                continue
            for start, end, forced in cuts(segment, self.table, self.key2):
                pieces.append(piece(forced, end - start, self.put(CHUNK, segment[start:end])))
        if len(pieces) == 1 and pieces[0].kind != 2:
            return ONE_CHUNK, pieces[0].id
        return SEQUENCE, build(pieces, lambda level, p: (36, 36, 5, 48)[p.kind],
                               lambda level, p: bytes([128 + level]) + struct.pack('<Q', p.seed),
                               self.store.tree_key, self.put_seq)


# --- chunks ------------------------------------------------------------------

def gear(key):
    words = iter(struct.unpack('<512Q', hashlib.shake_256(b'pfs gear v1' + key).digest(4096)))
    table = [next(words) for _ in range(256)]
    key2 = next(words)
    for byte in range(256):
        while (-table[byte] & MASK) >> 54 == 0:
            table[byte] = next(words)
    return table, key2


def segments(data):
    """(is a hole, bytes), in order."""
    at = start = 0
    while True:
        at = data.find(bytes(HOLE), at)
        if at < 0:
            break
        end = at + HOLE
        while end < len(data) and data[end] == 0:
            end += 1
        if at > start:
            yield False, data[start:at]
        yield True, data[at:end]
        at = start = end
    if start < len(data):
        yield False, data[start:]


def mix(x):
    for _ in range(2):
        x ^= x >> 32
        x = x * 0xd6e8feb86659fd93 & MASK
    return x ^ x >> 32


def cuts(data, table, key2):
    """(start, end, forced) of each chunk of one segment."""
    n, g, places, priority = len(data), 0, [], []
    for i, byte in enumerate(data, 1):
        g = (g << 1 & MASK) + table[byte] & MASK
        if i >= 64 and g >> 54 == 0:
            places.append(i)
            priority.append(mix(g ^ key2))
    bounds = [place for i, place in enumerate(places) if place >= REACH and n - place >= TAIL and
              is_maximum(places, priority, i, REACH)]
    start = 0
    for bound in bounds + [n]:
        while bound - start > MAX:
            end = next((p for p in places if start + REACH <= p <= start + MAX), start + MAX)
            yield start, end, 1
            start = end
        yield start, bound, 0
        start = bound


# --- reading -----------------------------------------------------------------

def load_dir(get, digest, parent=None):
    level, _, items = decode_dir(get(DIR, digest))
    if parent is not None:
        wanted, child = parent
        require(level == wanted and sums_of(level, items) == (child.direct, child.entries, child.bytes) and
                items[-1].name == child.name, 'node is not what its parent says')
    for item in items:
        if level:
            yield from load_dir(get, item.id, (level - 1, item))
        else:
            yield item


def entries(get, root):
    return load_dir(get, root) if root != ZERO else iter(())


def walk(get, root, path=b''):
    for e in entries(get, root):
        yield path + e.name, e
        if e.kind == DIRECTORY:
            yield from walk(get, e.id, path + e.name + b'/')


def load_seq(get, digest, parent=None):
    level, _, items = decode_seq(get(SEQ, digest))
    if parent is not None:
        wanted, child = parent
        require((level, sum(p.bytes for p in items), sum(p.chunks for p in items), items[-1].seed) ==
                (wanted, child.bytes, child.chunks, child.seed), 'node is not what its parent says')
    for item in items:
        if level:
            yield from load_seq(get, item.id, (level - 1, item))
        elif item.kind == 2:
            yield bytes(item.bytes)
        else:
            data = get(CHUNK, item.id)
            require(len(data) == item.bytes, 'chunk of another length')
            yield data


def file_bytes(get, e):
    if e.kind == INLINE:
        return e.data
    data = get(CHUNK, e.id) if e.kind == ONE_CHUNK else b''.join(load_seq(get, e.id))
    require(len(data) == e.size, 'file of another length')
    return data


def main(argv):
    if len(argv) < 4 or argv[2] not in ('ls', 'extract') or len(argv) != (4 if argv[2] == 'ls' else 5):
        sys.exit(__doc__)
    store = Store(argv[1])
    root = parse_id(argv[3])
    for path, e in walk(store.get, root):
        if argv[2] == 'ls':
            print('%d %04o %d:%d %d.%09d %s' % (e.kind, e.mode, e.uid, e.gid, e.sec, e.nsec,
                                               path.decode(errors='backslashreplace')))
        elif path == os.fsencode(argv[4]):
            sys.stdout.buffer.write(file_bytes(store.get, e))
            return
    if argv[2] == 'extract':
        raise Damage('%s is not there' % argv[4])


if __name__ == '__main__':
    sys.exit(run(main, sys.argv))
