"""Times kernel rows over the grids of bench/grids, in one thread, against the machine's roofline.

    python -m bench.kernels [--tier v4|all] [--only FAMILY] [--rounds 20]

Each line: the case, the row and tier (* marks the one that the dispatcher picks on this machine), the code path, the
best processor time and its GFLOP/s, GB/s of operands, and the share of the roofline: the time that the case's
operations take at the multiply-add peak, or its bytes at the bandwidth of what holds them if that is longer, by the
time it took. Row and limits take turns; the share is the median over the turns of that by the limits just before and
after, so that a busy machine disturbs both alike.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arenaut import _native

if not __package__:  # run as a script: make `bench` and `tests` importable
    sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.grids import GRIDS, cases
from bench.grids.case import Case
from tests.support.rowcall import TIERS, available_tiers, call


def measure(case: Case, row: Mapping[str, Any], picked: bool, rounds: int) -> str:
    """One line of the report."""
    tier = row["tier"]
    best, variant, shares = float("inf"), "", []
    work = max(case.flops, 8.0 * case.bytes)
    repeat = max(1, min(200, int(2e8 / work)))

    def ideal(seconds: float) -> float:
        """Seconds that the roofline allows, measured for about so long."""
        peak = _native.peak_flops(tier, min(0.03, max(0.001, seconds)))
        return float(max(case.flops / peak, case.bytes / _native.read_bandwidth(tier, case.bytes, 0.001)))

    before = ideal(0.001)
    for _ in range(rounds):
        result = call(row, case.inputs, case.outputs, params=case.params, tile=case.tile, pack=case.pack,
                      constant=case.constant, repeat=repeat)  # fmt: skip
        assert result["status"] == 0, (case.name, result)
        best, variant = min(best, result["seconds"]), result["variant"]
        after = ideal(result["total_seconds"])
        shares.append((before + after) / 2 * repeat / result["total_seconds"])
        before = after
    where = f"{row['name']}/{TIERS[tier]}{'*' if picked else ''}"
    return (
        f"{case.name:40} {where:26} {variant:18} {best * 1e6:10.1f} us {case.flops / best / 1e9:8.1f} GFLOP/s "
        f"{case.bytes / best / 1e9:7.1f} GB/s {100 * statistics.median(shares):6.1f} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tier", choices=[*TIERS, "all"], help="the dispatcher's pick by default")
    parser.add_argument("--only", choices=sorted(GRIDS), metavar="FAMILY", action="append")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    rows = [row for row in _native.rows() if TIERS[row["tier"]] in available_tiers()]
    picked = {row["name"]: max(r["tier"] for r in rows if r["name"] == row["name"]) for row in rows}
    for row in rows:
        wanted = picked[row["name"]] if args.tier is None else TIERS.index(args.tier) if args.tier != "all" else None
        if (args.only and row["family"] not in args.only) or wanted not in (None, row["tier"]):
            continue
        for case in cases(row):
            print(measure(case, row, row["tier"] == picked[row["name"]], args.rounds), flush=True)


if __name__ == "__main__":
    main()
