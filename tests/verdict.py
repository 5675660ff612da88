#!/usr/bin/env python3
"""Add up what the test runs of packaging/check said: claims, not programs.

A Criterion program says how many of its tests passed; a story says "ok - ..."
for every claim that holds; any other program is one claim.
"""
import json
import pathlib
import re
import sys

SYNTHESIS = re.compile(r"Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")


def count(test):
    """(passed, failed, skipped) claims of one program."""
    said = re.sub(r"\x1b\[[0-9;]*m", "", test.get("stdout", "") + test.get("stderr", ""))
    if test["result"] in ("SKIP", "EXPECTEDFAIL"):
        return 0, 0, 1
    synthesis = SYNTHESIS.findall(said)
    if synthesis:
        passed = sum(int(s[1]) for s in synthesis)
        failed = sum(int(s[2]) + int(s[3]) for s in synthesis)
    else:
        passed = len(re.findall(r"^ok\b", said, re.M))
        failed = 0
    if test["result"] != "OK":
        return passed, max(failed, 1), 0
    return max(passed, 1), failed, 0


def main():
    folder, broken = pathlib.Path(sys.argv[1]), sys.argv[2] != "0"
    passed = failed = skipped = 0
    for log in sorted(folder.glob("*.json")):
        for line in log.read_text().splitlines():
            test = json.loads(line)
            p, f, s = count(test)
            passed, failed, skipped = passed + p, failed + f, skipped + s
            if s:
                reason = re.findall(r"^skipped: (.*)$", test.get("stdout", ""), re.M)
                print(f"skipped: {test['name']}: {(reason or ['no reason given'])[0]}")
            if f:
                print(f"failed: {log.stem}: {test['name']}")
    for part in (folder / "docs", folder / "quickstart"):
        if part.exists():
            total, bad = map(int, part.read_text().split())
            passed, failed = passed + total - bad, failed + bad
    if broken and not failed:
        print("failed: a part could not be built or run")
        failed = 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
