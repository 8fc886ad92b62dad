"""Editor feedback on the largest pack, and checking of all packs: `python -m bench.editor`."""

from __future__ import annotations

import statistics
import time

from compiler.from_syntax import to_core
from jurisdictions.loader import VOCABULARY, files_of, load_all, packs, sources_of
from lexwatt.editing import Desk, completions, today

KEYS = 200


def main() -> None:
    """Prints medians in milliseconds."""
    largest = max(packs(), key=lambda pack: sum(len(text) for text in sources_of([pack]).values()))
    file = max((f for f in files_of([largest]) if f != VOCABULARY), key=lambda f: f.stat().st_size)
    text = file.read_text(encoding="utf-8")
    desk = Desk()
    desk.open[str(file)] = text
    desk.read(str(file))
    inline, newline, fits = [], [], []
    at = text.index("3 % * contracted")
    for i in range(KEYS):
        for kind, piece in ((inline, "1" * (i % 7 + 1)), (newline, "\n" * (i % 7 + 1))):
            desk.open[str(file)] = text[:at] + piece + text[at:]
            start = time.perf_counter()
            desk.read(str(file))
            kind.append(time.perf_counter() - start)
    reading = desk.read(str(file))
    for line in range(0, text.count("\n"), 5):
        start = time.perf_counter()
        completions(reading, text, line, 10)
        fits.append(time.perf_counter() - start)
    size = sum(t.count("\n") for t in sources_of([largest]).values())
    print(f"largest pack: {largest}, {size} lines with the vocabulary; typed in {file.name}")
    for what, times in (("a letter typed", inline), ("a line typed", newline), ("completion", fits)):
        print(f"{what}: median {statistics.median(times) * 1000:.1f} ms, worst {max(times) * 1000:.1f} ms")
    for what in ("cold", "warm"):
        start = time.perf_counter()
        program, findings = load_all(sources_of(packs()))
        assert not findings
        core = to_core(program, today())
        print(f"all packs parsed and checked, {what}: {time.perf_counter() - start:.2f} s ({len(core.rules)} rules)")


if __name__ == "__main__":
    main()
