#!/usr/bin/env python3
"""Read what pfs keeps, from the section-5 pages alone: no line of its C is used.

    pfsread.py STORE packs            one line a pack
    pfsread.py STORE records          one line a record
    pfsread.py STORE check            verify every byte; exit 1 when damaged
    pfsread.py STORE cat ID           the bytes of an object

STORE is the folder `store` of a data folder, ID 64 hexadecimal digits. Exit 2
when it could not look.
Python's standard library, and libzstd.so.1 by ctypes.
"""
import ctypes
import hashlib
import hmac
import os
import re
import struct
import sys

OBJECT_MAX = 1048576
BUNDLE_MAX, MEMBERS_MAX = 65536, 1024
RAW, ZSTD, DELTA = 0, 1, 3
BUNDLE = 5
DATA, META, ADOPTED = 1, 2, 3
TAGS = {1: b'pfs1 chunk', 2: b'pfs1 seq', 3: b'pfs1 dir', 4: b'pfs1 commit', 5: b'pfs1 bundle',
        6: b'pfs1 xattrs'}
PACK_NAME = re.compile(r'^[0-9a-f]{32}\.pk$')


class Damage(Exception):
    """Stored bytes are not what the pages allow."""


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def hkdf(secret, info, length):
    key = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(key, info + b'\x01', hashlib.sha256).digest()[:length]


def require(condition, text):
    if not condition:
        raise Damage(text)


def unzstd(frame, ulen, prefix=b''):
    lib = ctypes.CDLL('libzstd.so.1')
    for call, result, arguments in (
            ('ZSTD_createDCtx', ctypes.c_void_p, []),
            ('ZSTD_freeDCtx', ctypes.c_size_t, [ctypes.c_void_p]),
            ('ZSTD_DCtx_refPrefix', ctypes.c_size_t, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
            ('ZSTD_decompressDCtx', ctypes.c_size_t,
             [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t])):
        getattr(lib, call).restype = result
        getattr(lib, call).argtypes = arguments
    out = ctypes.create_string_buffer(max(ulen, 1))
    context = lib.ZSTD_createDCtx()
    lib.ZSTD_DCtx_refPrefix(context, prefix, len(prefix))
    got = lib.ZSTD_decompressDCtx(context, out, ulen, frame, len(frame))
    lib.ZSTD_freeDCtx(context)
    require(got == ulen, 'payload does not decompress to %d bytes' % ulen)
    return out.raw[:ulen]


class Member:
    """pfs-pack(5), Bundle: a small object in a bundle."""

    def __init__(self, bundle, row, start):
        self.id, self.ulen, self.type, zero, zeros = struct.unpack('<32sIBBH', row)
        require(self.type in TAGS and self.type != BUNDLE and zero == zeros == 0, 'member of unknown type')
        self.bundle, self.start, self.row = bundle, start, row
        self.base = None

    def plain(self, store):
        return self.bundle.together()[self.start:self.start + self.ulen]


class Piece:
    """pfs-pack(5), Adopted packs: an object in a file that lies in the store as it is."""

    def __init__(self, pack, entry):
        self.id, self.offset, self.ulen, self.type, self.codec, zero = struct.unpack('<32sQIBBH', entry)
        require(self.type in TAGS and self.type != BUNDLE, 'piece of unknown type')
        require(self.codec == RAW and zero == 0, 'a piece that is not raw')
        self.pack, self.clen, self.base = pack, self.ulen, None

    def plain(self, store):
        data = self.pack.data[self.offset:self.offset + self.ulen]
        require(len(data) == self.ulen, 'the file ends before a piece does')
        return data


class Record:
    """pfs-pack(5), Record: what stands in front of a payload, and the payload."""

    def __init__(self, data, offset, version):
        head = data[offset:offset + 56]
        require(len(head) == 56, 'no room for a record header')
        (magic, self.type, self.codec, flags, self.ulen, self.clen, self.id, payload_crc,
         head_crc) = struct.unpack('<4sBBHII32sII', head)
        require(magic == b'VREC', 'record does not start with VREC')
        require(crc32c(head[:52]) == head_crc, 'checksum of a record header is wrong')
        require(flags == 0, 'reserved flags are not zero')
        require(self.type in TAGS and (self.type != BUNDLE or version > 1), 'unknown type %d' % self.type)
        require(self.codec in ((RAW, ZSTD) if version == 1 or self.type == BUNDLE else (RAW, ZSTD, DELTA)),
                'unknown codec %d' % self.codec)
        require(self.ulen <= (BUNDLE_MAX if self.type == BUNDLE else OBJECT_MAX), 'object of %d bytes' % self.ulen)
        self.offset = offset
        self.end = offset + (56 + self.clen + 7) // 8 * 8
        self.payload = data[offset + 56:offset + 56 + self.clen]
        padding = data[offset + 56 + self.clen:self.end]
        require(offset + 56 + self.clen + len(padding) == self.end, 'record is cut short')
        require(crc32c(self.payload) == payload_crc, 'checksum of a payload is wrong')
        require(not any(padding), 'padding is not zero')
        self.table, self.base, self.unpacked = b'', None, None
        self.members = list(self.read_members()) if self.type == BUNDLE else []
        kept = self.clen - len(self.table)
        require(kept == self.ulen if self.codec == RAW else kept < self.ulen,
                'payload of %d bytes for %d' % (self.clen, self.ulen))
        if self.codec == DELTA:
            require(self.clen > 32, 'no room for a base')
            self.base = self.payload[:32]

    def read_members(self):
        require(self.clen >= 8, 'no room for a bundle')
        count, zero = struct.unpack('<II', self.payload[:8])
        require(1 <= count <= MEMBERS_MAX and zero == 0, 'bundle of %d members' % count)
        self.table = self.payload[:8 + 40 * count]
        require(len(self.table) == 8 + 40 * count, 'table of a bundle is cut short')
        start = 0
        for row in range(8, len(self.table), 40):
            member = Member(self, self.table[row:row + 40], start)
            yield member
            start += member.ulen
        require(start == self.ulen, 'members do not come to the size of their bundle')

    def together(self):
        """The bytes of all members."""
        if self.unpacked is None:
            packed = self.payload[len(self.table):]
            self.unpacked = packed if self.codec == RAW else unzstd(packed, self.ulen)
        return self.unpacked

    def entry(self):
        return struct.pack('<32sIIIBBH', self.id, self.offset // 8, self.clen, self.ulen, self.type,
                           self.codec, 0)

    def plain(self, store):
        if self.codec == DELTA:
            base = store.find(self.base)
            require(base is not None and base.base is None, 'the base of a delta is missing, or is one itself')
            return unzstd(self.payload[32:], self.ulen, base.plain(store))
        return self.payload if self.codec == RAW else unzstd(self.payload, self.ulen)


def read_trailer(data):
    """Where the footer starts, its bytes, and (version, entries, deltas, bundles)."""
    trailer = data[-64:]
    require(len(data) >= 128, 'no room for a trailer')
    off, entries, deltas, bundles, crc, digest, version, magic = struct.unpack('<QIIII32sI4s', trailer)
    require(magic == b'VPKE' and version in (1, 2), 'pack does not end with VPKE of version 1 or 2')
    require(version == 2 or deltas == bundles == 0, 'deltas or bundles in version 1')
    footer = data[off:-64]
    members = len(footer) - 48 * entries - 40 * deltas - 8 * bundles
    require(off >= 64 and off % 8 == 0 and members >= 0 and members % 40 == 0 and (bundles or not members),
            'footer does not fill the pack')
    require(crc32c(footer) == crc, 'checksum of the footer is wrong')
    require(hashlib.sha256(data[:64] + footer).digest() == digest, 'digest of the pack is wrong')
    return off, footer, (version, entries, deltas, bundles)


class Pack:
    """pfs-pack(5), Pack: a file, sealed or not."""

    def __init__(self, path, sealed):
        self.path, self.sealed = path, sealed
        self.name = os.path.basename(path)[:32]
        self.read = None
        with open(path, 'rb') as file:
            self.data = file.read()

    def header(self, store_uuid):
        self.read_header(self.data[:64], store_uuid)
        require(self.kind in (DATA, META) and self.file_size == 0, 'unknown kind of pack')

    def read_header(self, head, store_uuid):
        require(len(head) == 64, 'no room for a pack header')
        (magic, self.version, self.kind, flags, self.created_ns, owner, uuid, self.seq, self.file_size,
         crc) = struct.unpack('<4sHBBQ16s16sIQI', head)
        require(magic == b'VPK1', 'pack does not start with VPK1')
        require(crc32c(head[:60]) == crc, 'checksum of the pack header is wrong')
        require(self.version in (1, 2) and flags == 0, 'pack of version %d' % self.version)
        require(owner == store_uuid, 'pack belongs to another store')
        require(uuid.hex() == self.name, 'pack header tells another name')

    def records(self):
        if self.read is None:
            self.read = list(self.scan())
        return self.read

    def objects(self):
        for record in self.records():
            yield from record.members if record.type == BUNDLE else [record]

    def scan(self):
        offset = 64
        end = read_trailer(self.data)[0] if self.sealed else len(self.data)
        version = struct.unpack('<H', self.data[4:6])[0]
        records = self.data[:end]
        while offset < end:
            record = Record(records, offset, version)
            yield record
            offset = record.end

    def check_footer(self):
        """The footer follows from the records."""
        records = list(enumerate(self.records()))
        tables = [b''.join(record.entry() for _, record in records)]
        deltas = [struct.pack('<32sII', record.base, i, 0) for i, record in records if record.base]
        bundles = [struct.pack('<II', i, len(record.members)) for i, record in records if record.members]
        members = [member.row for _, record in records for member in record.members]
        _, footer, numbers = read_trailer(self.data)
        require(footer == b''.join(tables + deltas + bundles + members), 'footer does not tell of the records')
        require(numbers == (self.version, len(records), len(deltas), len(bundles)),
                'trailer does not count the records')


class AdoptedPack(Pack):
    """pfs-pack(5), Adopted packs: a file as it is, and a table beside it."""

    def __init__(self, path):
        super().__init__(path, True)
        with open(path[:-1] + 't', 'rb') as file:
            self.table = file.read()

    def header(self, store_uuid):
        self.read_header(self.table[:64], store_uuid)
        require(self.kind == ADOPTED and self.version == 2, 'not the table of an adopted file')
        require(self.file_size == len(self.data), 'the file has another size than its table says')

    def scan(self):
        off, footer, (_, entries, deltas, bundles) = read_trailer(self.table)
        require(off == 64 and deltas == bundles == 0 and len(footer) == 48 * entries, 'not a table of pieces')
        for at in range(0, len(footer), 48):
            yield Piece(self, footer[at:at + 48])

    def check_footer(self):
        ends = [piece.offset + piece.ulen for piece in self.records()]
        starts = [piece.offset for piece in self.records()]
        require(all(end <= start for end, start in zip(ends, starts[1:])), 'pieces are not in their order')
        require(not ends or ends[-1] <= len(self.data), 'the file ends before its last piece')


class Store:
    """A folder of packs and its superblock."""

    def __init__(self, path):
        self.path = path
        with open(os.path.join(path, 'STORE'), 'rb') as file:
            copies = file.read()
        require(len(copies) == 8192, 'superblock of %d bytes' % len(copies))
        try:
            self.superblock(copies[:4096])
        except Damage:
            self.superblock(copies[4096:])
        self.copies = copies
        self.gear_key = hkdf(self.secret, b'gear', 32)
        self.tree_key = hkdf(self.secret, b'tree', 16)
        self.id_key = hkdf(self.secret, b'id', 32)
        self.files = None
        self.index = None

    def superblock(self, block):
        require(block[:4] == b'VST1', 'superblock does not start with VST1')
        require(crc32c(block[:4092]) == struct.unpack('<I', block[4092:])[0],
                'checksum of the superblock is wrong')
        version, flags, self.created_ns, self.uuid = struct.unpack('<HHQ16s', block[4:32])
        require(version == 1 and flags == 0, 'superblock of version %d' % version)
        require(struct.unpack('<BBHIIII', block[32:52]) == (1, 10, 0, 32768, 262144, 8192, 65536),
                'unknown chunker')
        require(not any(block[52:64]) and not any(block[96:4092]), 'reserved bytes are not zero')
        self.secret = block[64:96]

    def object_id(self, kind, data):
        domain = TAGS[kind].ljust(16, b'\0') + bytes(16) + self.id_key
        return hashlib.sha256(domain + data).digest()

    def packs(self):
        if self.files is None:
            self.files = list(self.find_packs())
        return self.files

    def find_packs(self):
        for folder, _, names in sorted(os.walk(os.path.join(self.path, 'packs/a'))):
            for name in sorted(names):
                if PACK_NAME.match(name) and name[:-1] + 't' in names:
                    yield AdoptedPack(os.path.join(folder, name))
        for top in ('packs/d', 'packs/m', 'open'):
            for folder, _, names in sorted(os.walk(os.path.join(self.path, top))):
                for name in sorted(names):
                    if PACK_NAME.match(name):
                        yield Pack(os.path.join(folder, name), top != 'open')

    def find(self, wanted):
        if self.index is None:
            self.index = {found.id: found for pack in self.packs() for found in pack.objects()}
        return self.index.get(wanted)

    def get(self, kind, wanted):
        """The bytes of an object, checked against its id."""
        found = self.find(wanted)
        if found is None or kind not in (None, found.type):
            raise KeyError(wanted.hex())
        data = bytes(found.plain(self))
        require(self.object_id(found.type, data) == wanted, 'bytes do not match their id')
        return data

    def check_pack(self, pack):
        pack.header(self.uuid)
        for record in pack.records():
            if record.type == BUNDLE:
                require(self.object_id(BUNDLE, record.table[8:]) == record.id,
                        'table of the bundle at %d does not match its id' % record.offset)
        for found in pack.objects():
            require(self.object_id(found.type, bytes(found.plain(self))) == found.id,
                    'bytes of %s do not match their id' % found.id.hex())
        if pack.sealed:
            pack.check_footer()

    def check(self):
        """Every damage, as text."""
        for number, name in enumerate('AB'):
            try:
                self.superblock(self.copies[4096 * number:4096 * (number + 1)])
            except Damage as damage:
                yield 'STORE copy %s: %s' % (name, damage)
        for pack in self.packs():
            try:
                self.check_pack(pack)
            except Damage as damage:
                yield 'pack %s: %s' % (pack.name, damage)


def list_packs(store):
    for pack in store.packs():
        pack.header(store.uuid)
        print(pack.name, {DATA: 'data', META: 'meta', ADOPTED: 'adopted'}[pack.kind],
              'sealed' if pack.sealed else 'open', len(pack.data))


def list_records(store):
    for pack in store.packs():
        for record in pack.records():
            print(pack.name, record.offset, record.type, record.codec, record.ulen, record.clen,
                  record.id.hex())


def parse_id(text):
    if not re.match('^[0-9a-f]{64}$', text):
        raise Damage('%s is no id: it has 64 hexadecimal digits, in small letters' % text)
    return bytes.fromhex(text)


def run(main, argv):
    """What is wrong with a folder or an id is one line."""
    try:
        return main(argv)
    except KeyError as missing:
        why = 'the store has no object %s' % missing.args[0]
    except OSError as error:
        why = '%s: %s; is %s the store of a data folder?' % (error.filename, error.strerror, argv[1])
    except Damage as damage:
        why = damage
    print('%s: %s' % (os.path.basename(argv[0]), why), file=sys.stderr)
    return 2


def main(argv):
    if len(argv) < 3 or argv[2] not in ('packs', 'records', 'check', 'cat') or \
            len(argv) != (4 if argv[2] == 'cat' else 3):
        sys.exit(__doc__)
    store = Store(argv[1])
    if argv[2] == 'packs':
        list_packs(store)
    elif argv[2] == 'records':
        list_records(store)
    elif argv[2] == 'cat':
        sys.stdout.buffer.write(store.get(None, parse_id(argv[3])))
    else:
        damages = list(store.check())
        print('\n'.join(damages) or 'whole')
        sys.exit(1 if damages else 0)


if __name__ == '__main__':
    sys.exit(run(main, sys.argv))
