"""The table of clients."""

from __future__ import annotations

from tests.clients.run import CLIENTS, compare, missing

print(f"{'client':16} {'onnxruntime ms':>14} {'arenaut ms':>11} {'ratio':>6}  results")
for name in CLIENTS:
    absent = missing(name)
    if absent:
        print(f"{name:16} {'':14} {'':11} {'':6}  not installed: {', '.join(absent)}")
        continue
    try:
        found = compare(name)
    except RuntimeError as error:
        print(f"{name:16} {'':14} {'':11} {'':6}  {error}")
        continue
    times = f"{1e3 * found.theirs:14.2f} {1e3 * found.ours:11.2f} {found.ratio:6.2f}"
    print(f"{name:16} {times}  {found.difference or 'same'}")
