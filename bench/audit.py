"""`python -m bench.audit [DECISIONS] [--deliveries]`: what it takes to audit a day, in time and memory.

The decisions are a few thousand that the guard made under the shipped rules and the example policy, each stamped with
its own number and moments into as many records as the day has; the checker re-derives every one of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from compiler.to_exact import Unusable
from guardrails.guard import Guard
from guardrails.policy import load_policy
from guardrails.seal import Sealer
from lexwatt.auditing import frames_of
from proofs.audit import Scope, audit
from proofs.checker.canonical_json import dumps
from proofs.checker.delivery import DELIVERY, FIELDS
from proofs.checker.merkle import leaf_hash
from proofs.checker.receipt import PREDICATE_TYPE, STATEMENT_TYPE, read_record
from proofs.events import event
from proofs.keys import load_or_create
from proofs.ledger import Ledger
from tests.packs import ROOT, MemoryLedger, core, fleet, request
from tests.proofs.days import moment

GENUINE, BATCH = 2000, 1000
NUMBER = 111_111_111_111


def decisions(count: int, seed: int = 1) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Predicates of decisions that the guard made: most within the rules, some repaired, refused or fallen back."""
    pick, ledger, documents = random.Random(seed), MemoryLedger(), dict[str, bytes]()
    policy = load_policy(ROOT / "examples" / "policy.yaml")
    guard = Guard(core(), ledger, Sealer(), time.monotonic_ns, keep=documents.__setitem__, policy=policy)  # type: ignore[arg-type]
    units = [u for u in fleet().units.values() if u.protocol == "sunspec_modbus" and u.pool is None]
    for _ in range(count):
        unit = pick.choice(units)
        most, wild = int(unit.max_discharge_power), pick.random() < 0.1
        previous = pick.randint(-most, most) if wild else 0
        power: Any = Fraction(pick.randint(-most, most) * (2 if wild else 1), 2 if not wild else 1)
        guard.decide(
            request(
                unit.id,
                power if pick.random() > 0.01 else Unusable("not an exact number"),
                soc=Fraction(pick.randint(2000, 9000), 10_000),
                hz=Fraction(pick.randint(50_150, 50_900) if wild else pick.randint(49_950, 50_050), 1000),
                previous=previous,
                reference=pick.randint(0, most),
            )
        )
    return [read_record(record) for record in ledger.kept], documents


def stamped(predicates: Sequence[dict[str, Any]], count: int, deliveries: bool) -> Iterator[bytes]:
    """So many records, taking turns; as `proofs.record.statement` would write them."""
    cut = [dumps(p | {"at": "@AT", "deadline": "@DEADLINE", "sequence": NUMBER}).decode() for p in predicates]
    allowed = [8 if p["outcome"] != "refused" or p["findings"] else -8 for p in predicates]
    for k in range(count):
        which = k % len(cut)
        at, deadline = moment(k * 0.3456), moment(k * 0.3456 + allowed[which])
        told = cut[which].replace("@AT", at).replace("@DEADLINE", deadline).replace(str(NUMBER), str(k)).encode()
        name, digest = f"{predicates[which]['id']}/{k}", hashlib.sha256(told).hexdigest()
        subject = json.dumps([{"digest": {"sha256": digest}, "name": name}], separators=(",", ":"))
        record = b'{"_type":"%s","predicate":%s,"predicateType":"%s","subject":%s}' % (
            *(STATEMENT_TYPE.encode(), told, PREDICATE_TYPE.encode(), subject.encode()),
        )
        yield record
        for device, frame in predicates[which]["frames"].items() if deliveries else ():
            said = dict.fromkeys(FIELDS[DELIVERY]) | {"device": device, "record": leaf_hash(record).hex()}
            said |= {"frame": hashlib.sha256(bytes.fromhex(frame)).hexdigest(), "tier": "command"}
            yield event(DELIVERY, said | {"outcome": "acknowledged"})


def main() -> None:
    """Makes the day, audits it, prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("decisions", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--deliveries", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        began = time.perf_counter()
        predicates, documents = decisions(min(GENUINE, chosen.decisions))
        print(f"{len(predicates)} decisions of the guard: {dict(Counter(p['outcome'] for p in predicates))}")
        print(f"  made in {time.perf_counter() - began:.1f} s")
        (folder / "rules").mkdir()
        for digest, data in documents.items():
            (folder / "rules" / (digest.replace(":", "-") + ".json")).write_bytes(data)
        key = load_or_create(folder / "log.key", "bench.example/guard")
        began, batch, size = time.perf_counter(), list[bytes](), 0
        with Ledger.open(folder / "ledger.db", key) as ledger:
            for record in stamped(predicates, chosen.decisions, chosen.deliveries):
                batch.append(record)
                if len(batch) == BATCH:
                    ledger.append(batch)
                    batch.clear()
            ledger.append(batch)
            size = len(ledger)
        print(f"{size:,} records written in {time.perf_counter() - began:.1f} s")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        scope = Scope(str(folder / "ledger.db"), [key.verifier], folder / "rules", frames=frames_of(fleet()))
        began = time.perf_counter()
        report = audit(scope, chosen.workers)
        took = time.perf_counter() - began
        mine = resource.getrusage(resource.RUSAGE_SELF)
        theirs = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = mine.ru_utime + theirs.ru_utime
        print(
            f"audited in {took:.1f} s with {chosen.workers} processes ({used:.1f} s of CPU in all runs of this program)"
        )
        print(f"{report.rederived:,} of {sum(report.outcomes.values()):,} re-derived, verified: {report.verified}")
        print(f"  outcomes {report.outcomes}, frames {report.frames}, deliveries {report.deliveries}")
        print(f"  peak memory {mine.ru_maxrss / 1024:.0f} MB (before the audit {before / 1024:.0f}),")
        print(f"  of the largest worker {theirs.ru_maxrss / 1024:.0f} MB")
        for finding in report.findings[:5]:
            print(finding)


if __name__ == "__main__":
    main()
