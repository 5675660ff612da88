#!/usr/bin/env python3
"""A reader of a store's index, made from pfs-index(5) alone.

    pfsindex.py STORE runs           what the manifest names
    pfsindex.py STORE find ID        where an object is
    pfsindex.py STORE check          hold the index against the packs; exit 1 when they differ

STORE is the folder `store` of a data folder. Exit 2 when it could not look.
"""
import os
import struct
import sys

import pfsread
from pfsread import crc32c, require

PAGE, ROOM = 4096, 4080
RECORDS, BLOCKS, FENCES = 85, 63, 1020      # a page
BUNDLED = 5


def pages_for(things, a_page):
    return (things + a_page - 1) // a_page


class Place:
    """A record of a run."""

    def __init__(self, row):
        self.id, self.pack = struct.unpack('<32sI', row[:36])
        self.offset = int.from_bytes(row[36:41], 'little')
        self.clen = int.from_bytes(row[41:44], 'little')
        self.ulen = int.from_bytes(row[44:47], 'little')
        self.type, self.codec = row[47] & 15, row[47] >> 4


class Run:
    def __init__(self, folder, number, records, level, store_uuid):
        self.number = number
        with open(os.path.join(folder, '%016x.ix' % number), 'rb') as file:
            self.data = file.read()
        head = self.page(0)
        magic, version, self.level, zero, owner, self.records, self.blocks, pages = \
            struct.unpack('<4sHBB16sIII', head[:36])
        require(magic == b'VIX1' and version == 1 and zero == 0, 'run of another kind')
        require(owner == store_uuid, 'run belongs to another store')
        require((self.records, self.level) == (records, level), 'another run than the manifest tells of')
        require(self.records > 0 and self.blocks > 0 and not any(head[36:ROOM]), 'header that cannot be')
        self.first = 1 + pages_for(self.blocks, BLOCKS)
        self.record_pages = pages_for(self.records, RECORDS)
        self.fence_page = self.first + self.record_pages
        require(pages == self.fence_page + pages_for(self.record_pages, FENCES), 'number of pages')
        require(len(self.data) == pages * PAGE, 'size of the file')
        self.fences = [struct.unpack_from('<I', self.page(self.fence_page + i // FENCES), i % FENCES * 4)[0]
                       for i in range(self.record_pages)]

    def page(self, number):
        page = self.data[number * PAGE:(number + 1) * PAGE]
        require(len(page) == PAGE, 'run ends before page %d' % number)
        run, at, crc = struct.unpack('<QII', page[ROOM:])
        require(crc32c(page[:4092]) == crc, 'checksum of page %d' % number)
        require((run, at) == (self.number, number), 'another page in the place of page %d' % number)
        return page

    def places(self, page):
        raw = self.page(self.first + page)
        for i in range(min(RECORDS, self.records - page * RECORDS)):
            yield Place(raw[i * 48:i * 48 + 48])

    def all(self):
        return [place for page in range(self.record_pages) for place in self.places(page)]

    def may_hold(self, wanted):
        block = int.from_bytes(wanted[:8], 'big') * self.blocks >> 64
        bits = int.from_bytes(wanted[8:16], 'little')
        raw = self.page(1 + block // BLOCKS)[block % BLOCKS * 64:][:64]
        return all(raw[bit // 8] >> bit % 8 & 1 for bit in (bits >> 9 * i & 511 for i in range(6)))

    def find(self, wanted):
        """By the Bloom filter, the fences and one page, as the page says."""
        key = int.from_bytes(wanted[:4], 'big')
        if not self.may_hold(wanted):
            return None
        page = max((i for i, fence in enumerate(self.fences) if fence <= key), default=-1)
        while page >= 0:
            for place in self.places(page):
                if place.id == wanted:
                    return place
            if self.fences[page] < key:
                return None
            page -= 1
        return None


class Index:
    def __init__(self, path, store_uuid):
        folder = os.path.join(path, 'index')
        with open(os.path.join(folder, 'manifest'), 'rb') as file:
            raw = file.read()
        magic, version, zero, owner, self.next_run, self.next_pack, runs, packs = \
            struct.unpack('<4sHH16sQIII', raw[:44])
        require(magic == b'VIM1' and version == 1 and zero == 0 and not any(raw[44:64]), 'manifest')
        require(owner == store_uuid, 'manifest belongs to another store')
        require(len(raw) == 64 + 16 * runs + 48 * packs + 4, 'size of the manifest')
        require(crc32c(raw[:-4]) == struct.unpack('<I', raw[-4:])[0], 'checksum of the manifest')
        self.runs, self.packs = [], {}
        for i in range(runs):
            number, records, level, zeros = struct.unpack_from('<QIB3s', raw, 64 + 16 * i)
            require(number < self.next_run and not any(zeros), 'a run that cannot be')
            self.runs.append(Run(folder, number, records, level, store_uuid))
        for i in range(packs):
            pack = struct.unpack_from('<II16sQIB3sQ', raw, 64 + 16 * runs + 48 * i)
            require(pack[0] < self.next_pack and not any(pack[6]), 'a pack that cannot be')
            self.packs[pack[0]] = {'seq': pack[1], 'name': pack[2].hex(), 'size': pack[3],
                                   'objects': pack[4], 'kind': pack[5], 'bytes': pack[7]}
        require(list(self.packs) == sorted(self.packs), 'packs are not in order')

    def find(self, wanted):
        for run in self.runs:
            place = run.find(wanted)
            if place and place.pack in self.packs:
                return place
        return None


def offset_of(found):
    return found.bundle.offset if isinstance(found, pfsread.Member) else found.offset


def check(index, store):
    """Yield what is wrong."""
    packs = {pack.name: pack for pack in store.packs()}
    covered = {}
    for number, told in index.packs.items():
        pack = packs.get(told['name'])
        if not pack or not pack.sealed or os.path.getsize(pack.path) != told['size']:
            yield 'pack %s is not there as the manifest says' % told['name']
            continue
        for found in pack.objects():
            covered.setdefault(found.id, {})[number] = found
    counted = {number: [0, 0] for number in index.packs}
    for wanted, copies in covered.items():
        place = index.find(wanted)
        if place is None or place.pack not in copies:
            yield 'object %s is not found' % wanted.hex()
            continue
        found = copies[place.pack]
        if (place.offset, place.ulen, place.type) != (offset_of(found), found.ulen, found.type):
            yield 'object %s lies elsewhere' % wanted.hex()
        counted[place.pack][0] += 1
        counted[place.pack][1] += place.ulen
    for number, told in index.packs.items():
        if counted[number] != [told['objects'], told['bytes']]:
            yield 'pack %s is counted wrong' % told['name']
    for run in index.runs:
        ids = [place.id for place in run.all()]
        if ids != sorted(set(ids)) or len(ids) != run.records:
            yield 'run %d is not in order' % run.number


def main(argv):
    if len(argv) < 3 or argv[2] not in ('runs', 'find', 'check') or len(argv) != (4 if argv[2] == 'find' else 3):
        sys.exit(__doc__)
    store = pfsread.Store(argv[1])
    index = Index(argv[1], store.uuid)
    if argv[2] == 'runs':
        for run in index.runs:
            print('%016x level %d, %d records' % (run.number, run.level, run.records))
    elif argv[2] == 'find':
        place = index.find(pfsread.parse_id(argv[3]))
        print('not there' if not place else 'pack %s at %d' % (index.packs[place.pack]['name'], place.offset))
    else:
        damages = list(check(index, store))
        print('\n'.join(damages) or 'whole')
        return 1 if damages else 0
    return 0


if __name__ == '__main__':
    sys.exit(pfsread.run(main, sys.argv))
