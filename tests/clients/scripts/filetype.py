"""magika: what kind of file some bytes are."""

from clock import report
from magika import Magika

engine = Magika()
samples = [
    b"#!/usr/bin/env python3\nimport sys\n\n\ndef main():\n    print(sys.argv)\n\n\nmain()\n" * 4,
    b"<!DOCTYPE html>\n<html><head><title>x</title></head><body><p>Hello</p></body></html>\n" * 3,
    b'{"name": "arenaut", "numbers": [1, 2, 3]}\n' * 6,
    b'fn main() { let x: Vec<u32> = Vec::new(); println!("{:?}", x); }\n' * 5,
    bytes(range(256)) * 8,
]


def identify():
    return [[str(r.output.label), float(r.score)] for r in (engine.identify_bytes(s) for s in samples)]


report(identify)
