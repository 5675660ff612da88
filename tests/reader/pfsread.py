#!/usr/bin/env python3
"""Read what pfs keeps, from the section-5 pages alone: no line of its C is used.

    pfsread.py STORE packs            one line a pack
    pfsread.py STORE records          one line a record
    pfsread.py STORE check            verify every byte; exit 1 when damaged
    pfsread.py STORE cat ID           the bytes of an object

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
TAGS = {1: b'pfs1 chunk', 2: b'pfs1 seq', 3: b'pfs1 dir', 4: b'pfs1 commit', 6: b'pfs1 xattrs'}
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


def unzstd(payload, ulen):
    lib = ctypes.CDLL('libzstd.so.1')
    lib.ZSTD_decompress.restype = ctypes.c_size_t
    lib.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    out = ctypes.create_string_buffer(max(ulen, 1))
    got = lib.ZSTD_decompress(out, ulen, payload, len(payload))
    require(got == ulen, 'payload does not decompress to %d bytes' % ulen)
    return out.raw[:ulen]


class Record:
    """pfs-pack(5), Record: what stands in front of a payload, and the payload."""

    def __init__(self, data, offset):
        head = data[offset:offset + 56]
        require(len(head) == 56, 'no room for a record header')
        (magic, self.type, self.codec, flags, self.ulen, self.clen, self.id, payload_crc,
         head_crc) = struct.unpack('<4sBBHII32sII', head)
        require(magic == b'VREC', 'record does not start with VREC')
        require(crc32c(head[:52]) == head_crc, 'checksum of a record header is wrong')
        require(flags == 0, 'reserved flags are not zero')
        require(self.type in TAGS, 'unknown type %d' % self.type)
        require(self.codec in (0, 1), 'unknown codec %d' % self.codec)
        require(self.ulen <= OBJECT_MAX, 'object of %d bytes' % self.ulen)
        require(self.clen == self.ulen if self.codec == 0 else self.clen < self.ulen,
                'payload of %d bytes for %d' % (self.clen, self.ulen))
        self.offset = offset
        self.end = offset + (56 + self.clen + 7) // 8 * 8
        self.payload = data[offset + 56:offset + 56 + self.clen]
        padding = data[offset + 56 + self.clen:self.end]
        require(offset + 56 + self.clen + len(padding) == self.end, 'record is cut short')
        require(crc32c(self.payload) == payload_crc, 'checksum of a payload is wrong')
        require(not any(padding), 'padding is not zero')

    def entry(self):
        return struct.pack('<32sIIIBBH', self.id, self.offset // 8, self.clen, self.ulen, self.type,
                           self.codec, 0)

    def plain(self):
        return self.payload if self.codec == 0 else unzstd(self.payload, self.ulen)


class Pack:
    """pfs-pack(5), Pack: a file, sealed or not."""

    def __init__(self, path, sealed):
        self.path, self.sealed = path, sealed
        self.name = os.path.basename(path)[:32]
        self.read = None
        with open(path, 'rb') as file:
            self.data = file.read()

    def header(self, store_uuid):
        head = self.data[:64]
        require(len(head) == 64, 'no room for a pack header')
        (magic, version, self.kind, flags, self.created_ns, owner, uuid, self.seq, reserved,
         crc) = struct.unpack('<4sHBBQ16s16sI8sI', head)
        require(magic == b'VPK1', 'pack does not start with VPK1')
        require(crc32c(head[:60]) == crc, 'checksum of the pack header is wrong')
        require(version == 1, 'pack of version %d' % version)
        require(self.kind in (1, 2) and flags == 0 and not any(reserved), 'unknown kind or flags')
        require(owner == store_uuid, 'pack belongs to another store')
        require(uuid.hex() == self.name, 'pack header tells another name')

    def footer(self):
        """Where records end, and the footer's bytes."""
        trailer = self.data[-64:]
        require(len(self.data) >= 128, 'no room for a trailer')
        off, entries, deltas, bundles, crc, digest, version, magic = struct.unpack('<QIIII32sI4s', trailer)
        require(magic == b'VPKE' and version == 1, 'pack does not end with VPKE of version 1')
        require(deltas == 0 and bundles == 0, 'deltas or bundles in version 1')
        require(off + 48 * entries == len(self.data) - 64 and off >= 64 and off % 8 == 0,
                'footer does not fill the pack')
        footer = self.data[off:-64]
        require(crc32c(footer) == crc, 'checksum of the footer is wrong')
        require(hashlib.sha256(self.data[:64] + footer).digest() == digest, 'digest of the pack is wrong')
        return off, footer

    def records(self):
        if self.read is None:
            self.read = list(self.scan())
        return self.read

    def scan(self):
        offset = 64
        end = self.footer()[0] if self.sealed else len(self.data)
        records = self.data[:end]
        while offset < end:
            record = Record(records, offset)
            yield record
            offset = record.end

    def check_footer(self):
        require(b''.join(record.entry() for record in self.records()) == self.footer()[1],
                'footer does not tell of the records')


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
        for top in ('packs/d', 'packs/m', 'open'):
            for folder, _, names in sorted(os.walk(os.path.join(self.path, top))):
                for name in sorted(names):
                    if PACK_NAME.match(name):
                        yield Pack(os.path.join(folder, name), top != 'open')

    def get(self, kind, wanted):
        """The bytes of an object, checked against its id."""
        if self.index is None:
            self.index = {record.id: record for pack in self.packs() for record in pack.records()}
        record = self.index.get(wanted)
        if record is None or kind not in (None, record.type):
            raise KeyError(wanted.hex())
        data = bytes(record.plain())
        require(self.object_id(record.type, data) == wanted, 'bytes do not match their id')
        return data

    def check(self):
        """Every damage, as text."""
        for number, name in enumerate('AB'):
            try:
                self.superblock(self.copies[4096 * number:4096 * (number + 1)])
            except Damage as damage:
                yield 'STORE copy %s: %s' % (name, damage)
        for pack in self.packs():
            try:
                pack.header(self.uuid)
                for record in pack.records():
                    require(self.object_id(record.type, bytes(record.plain())) == record.id,
                            'bytes at %d do not match their id' % record.offset)
                if pack.sealed:
                    pack.check_footer()
            except Damage as damage:
                yield 'pack %s: %s' % (pack.name, damage)


def list_packs(store):
    for pack in store.packs():
        pack.header(store.uuid)
        print(pack.name, 'meta' if pack.kind == 2 else 'data', 'sealed' if pack.sealed else 'open',
              len(pack.data))


def list_records(store):
    for pack in store.packs():
        for record in pack.records():
            print(pack.name, record.offset, record.type, record.codec, record.ulen, record.clen,
                  record.id.hex())


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
        sys.stdout.buffer.write(store.get(None, bytes.fromhex(argv[3])))
    else:
        damages = list(store.check())
        print('\n'.join(damages) or 'whole')
        sys.exit(1 if damages else 0)


if __name__ == '__main__':
    main(sys.argv)
