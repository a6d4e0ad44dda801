"""The fault server of the soak, in a process of its own: breaks a tenth of all requests.

    python benchmarks/soakserver.py

Prints its address. Then each line on its standard input is answered by a line of JSON, its own
books, until that ends.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.faults import Faults  # noqa: E402
from tests.faultserver import Books, FaultServer, Manners  # noqa: E402

MIX = {
    "429": 0.01,  # with Retry-After
    "429-ms": 0.005,
    "429-bare": 0.01,
    "500": 0.01,
    "503": 0.01,  # with Retry-After
    "reset": 0.015,
    "reset-midway": 0.015,  # shorter than its Content-Length
    "truncated": 0.015,
    "html": 0.01,
    "no-choices": 0.01,
    "index-wrong": 0.01,
    "null": 0.005,
    "nan": 0.005,
    "usage-huge": 0.005,
    "usage-string": 0.005,
    "oversized": 0.0005,  # 33 MiB each
    "oversized-stream": 0.0005,
    "hang": 0.0005,  # until the client's time-out
}
LATENCY, NOISE = 0.004, 1.5  # seconds; one answer in a hundred takes more than 0.13


def told(books: Books) -> dict[str, object]:
    """What the client is held against."""
    return {
        "requests": books.requests,
        "prompts": books.prompts,
        "answered": len(books.answered),
        "twice": sum(books.answered.values()) - len(books.answered),
        "most": books.most,
        "statuses": {str(status): count for status, count in sorted(books.statuses.items())},
        "struck": dict(books.struck.most_common()),
    }


def main() -> None:
    """Serve until nobody asks any more."""
    manners = Manners(latency=LATENCY, noise=NOISE, faults=Faults(rates=MIX))
    with FaultServer.in_thread(manners) as server:
        print(server.url, flush=True)
        for _ in sys.stdin:
            print(json.dumps(told(server.books)), flush=True)


if __name__ == "__main__":
    main()
