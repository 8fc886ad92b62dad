"""`python -m bench.proofs`: each kind of certificate, its size, how long it takes to make and to check.

Prints tables in Markdown. Times are medians; those of checks are of the quietest of five rounds, since whatever else
the machine does only adds to them. A claim is a problem and its certificate in one piece. What a checker of decisions
reads is the certificate alone: it derives the problem from the record and the rule set document, and that is timed with
the receipts.
"""

from __future__ import annotations

import base64
import gc
import json
import math
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

from compiler.facts import negate
from compiler.instance import of_one
from compiler.to_exact import Unusable
from dispatch.model import build
from dispatch.optimality import certify
from dispatch.prices import load_prices
from dispatch.schedule import solve
from dispatch.validate import validate
from guardrails.guard import Guard
from guardrails.seal import Sealer
from proofs import theorems
from proofs.analyses import Analysis, Finding, expressible, rule_fact
from proofs.checker import ed25519
from proofs.checker.certificate import refutes
from proofs.checker.claim import claim_from_bytes, from_bytes
from proofs.checker.decision import check_decision, decision_problem, parse_document
from proofs.checker.receipt import read_record, verify_receipt
from proofs.compare import differences
from proofs.encode import claim_bytes, to_bytes
from proofs.keys import load_or_create
from proofs.ledger import Ledger
from proofs.maker import decision_certificate
from proofs.policies import Commands, groups
from tests.packs import PACKS, ROOT, core, fleet, memory_guard, request
from tests.proofs.made_up import analysis
from tests.proofs.test_analyses import LOOSE, NEVER, TIGHT, UP

CHECKERS = ROOT / "build" / "checkers"
UNIT = "MG11_BESS_02"
REQUESTS = 120
MOST_BYTES, MOST_US = 2_000, 100.0
"""What the certificate of one unit's decision may take at most."""
NODE = """
const found = require(process.argv[1]);
const verify = globalThis.lexwattVerify || found.lexwattVerify;
for (const line of require('fs').readFileSync(0, 'utf8').split('\\n').filter(line => line)) {
  const claim = Uint8Array.from(Buffer.from(line, 'hex'));
  if (!verify(claim)) { console.log('nan'); continue; }
  const turn = n => { for (let i = 0; i < n; i++) if (!verify(claim)) throw 'not verified'; };
  let n = 1, took = 0;
  for (; took < 30e3; n *= 2) {
    const began = process.hrtime.bigint();
    turn(n);
    took = Number(process.hrtime.bigint() - began) / 1e3;
  }
  const each = [];
  for (let k = 0; k < 5; k++) {
    const began = process.hrtime.bigint();
    turn(Math.ceil(n / 4));
    each.push(Number(process.hrtime.bigint() - began) / 1e3 / Math.ceil(n / 4));
  }
  console.log(Math.min(...each));
}
"""


@dataclass(frozen=True, slots=True)
class Item:
    """One claim of a kind, and the median time to make it in milliseconds."""

    kind: str
    claim: bytes
    make_ms: float
    of_a_unit: bool = False


def median_us(work: Callable[[], object], times: int) -> float:
    """Median of `times` runs in microseconds."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1e6)
    return statistics.median(took)


def quietest_us(work: Callable[[], object], times: int) -> float:
    """The lowest of the medians of five rounds of `times` runs, in microseconds."""
    return min(median_us(work, times) for _ in range(5))


def made(kind: str, make: Callable[[], bytes], times: int = 5, of_a_unit: bool = False) -> Item:
    """The claim that `make` makes, and how long that takes."""
    return Item(kind, make(), median_us(make, times) / 1000, of_a_unit)


def of_rules() -> Iterator[Item]:
    """Theorems and what is said of rule sets: claims made once for each rule text."""
    for theorem in core().theorems:

        def proved(theorem: Any = theorem) -> bytes:
            answer = theorems.prove(theorem, of_one(core(), theorem.subject, "command"))
            assert isinstance(answer, theorems.Proved)
            return claim_bytes(answer.problem, from_bytes(answer.certificate))

        yield made(f"theorem `{theorem.id}` ({theorem.kind})", proved)
    few, clash = analysis(TIGHT, LOOSE, NEVER), analysis(TIGHT, UP)
    tight, loose, never = few.facts.rules

    def decided(*said: Any) -> bytes:
        claim = few.space.decide(said)
        assert isinstance(claim, bytes)
        return claim

    def found(finding: Finding, good: bool) -> bytes:
        assert finding.good is good and finding.claim is not None
        return finding.claim

    yield made("a rule can never be broken", lambda: decided(never.scope, negate(never.body)))
    yield made("a rule says nothing new", lambda: decided(negate(rule_fact(loose)), rule_fact(tight)))
    (part,) = groups(Analysis(expressible(of_one(core(), "unit", "command"))[0]), "command")
    yield made("some command in every state", lambda: found(Commands(Analysis(part), "command").some(), True))
    both = "two packs leave something wherever each does"
    yield made(both, lambda: found(Commands(Analysis(part), "command").together(*PACKS), True), 3)
    yield made("nothing is allowed in a state", lambda: found(Commands(clash, "command").some(), False))
    alone = replace(core(), rules=tuple(r for r in core().rules if r.id == "entsoe/lfsm_o"))
    yield made("a rule is the same in two rule sets", lambda: max(next(differences(alone, alone)).claims, key=len))


def _item(kind: str, document: bytes, predicate: dict[str, Any], times: int, of_a_unit: bool = False) -> Item:
    problem = decision_problem(parse_document(document), predicate)
    return made(
        kind,
        lambda: claim_bytes(problem, from_bytes(decision_certificate(document, predicate))),
        times,
        of_a_unit,
    )


def of_decisions() -> Iterator[Item]:
    """Repairs and refusals: certificates made for one command."""
    guard, ledger, _, documents = memory_guard()
    pick = random.Random(7)
    repaired: list[Item] = []
    while len(repaired) < REQUESTS:
        asked = request(
            UNIT,
            Fraction(pick.randrange(-500_000, 500_001, 100)),
            soc=Fraction(pick.randint(50, 950), 1000),
            hz=Fraction(pick.choice((5000, 5000, 5030, 5070, 5120)), 100),
            previous=pick.randrange(-500_000, 500_001, 100),
            reference=pick.randrange(0, 500_001, 100),
        )
        decision = guard.decide(asked)
        if decision.outcome == "repaired":
            predicate = json.loads(ledger.kept[-1])["predicate"]
            repaired.append(_item("", documents[decision.ruleset], predicate, 1, True))
    by_size = sorted(repaired, key=lambda item: len(item.claim))
    usual = statistics.median(item.make_ms for item in repaired)
    for what, item in (("usual", by_size[REQUESTS // 2]), ("largest", by_size[-1])):
        yield replace(item, kind=f"repair of one unit is closest, {what} of {REQUESTS}", make_ms=usual)
    unknown = {"previous_setpoint": Unusable("missing")}
    refused = guard.decide(request(UNIT, Fraction(400_000), settled=unknown))
    predicate = json.loads(ledger.kept[-1])["predicate"]
    yield _item("refusal of one unit, nothing admissible", documents[refused.ruleset], predicate, 9, True)
    pool = guard.decide_pool("homes", [request(u.id, Fraction(9_000)) for u in fleet().pool("homes")])
    predicate = json.loads(ledger.kept[-1])["predicate"]
    away = sum(abs(predicate["command"][n] - w) for n, w in predicate["requested"].items())
    yield _item(
        f"repair of a pool of six, closest to within {predicate['gap']} of {away} W",
        documents[pool.ruleset],
        predicate,
        3,
    )


def of_plans() -> Iterator[Item]:
    """A day of the example site: what was handed to the solver implies the rules, and no plan is worth much more."""
    site = fleet()
    prices = load_prices(ROOT / "examples" / "prices" / "de_lu_day_ahead_week.csv").day(date(2025, 6, 17))
    model = build(core(), site, prices, dict.fromkeys(site.units, Fraction(1, 2)))
    began = time.perf_counter()
    found = validate(model)
    each = (time.perf_counter() - began) * 1e3 / len(found.claims)
    assert not found.faults
    by_size = sorted(found.claims.values(), key=len)
    what = f"the solver's rows imply a rule at a step, {{}} of {len(by_size)} that show {found.proved:,}"
    yield Item(what.format("usual"), by_size[len(by_size) // 2], each)
    yield Item(what.format("largest"), by_size[-1], each)
    schedule = solve(model)
    certify(model, schedule)
    began = time.perf_counter()
    bound = certify(model, schedule)
    each = (time.perf_counter() - began) * 1e3 / len(bound.blocks)
    by_size = sorted((block.claim() for block in bound.blocks), key=len)
    close = f"{float(bound.gap):.2f} of {float(bound.worth):.0f} EUR from the best plan"
    yield Item(f"96 steps of one unit, smallest of {len(by_size)} blocks that show {close}", by_size[0], each)
    yield Item("the same, the pool of six", by_size[-1], each)


def in_ocaml(claim: bytes, guess_us: float) -> float | None:
    """Microseconds for one claim, the program's start taken off."""
    program = CHECKERS / "lexwatt-check"
    if not program.exists():
        return None
    more = max(5, min(5_000, int(400_000 / guess_us)))

    def run(count: int) -> None:
        text = (claim.hex() + "\n") * count
        done = subprocess.run([program, "--batch"], input=text, capture_output=True, text=True, check=True)
        assert done.stdout == "1\n" * count

    return (quietest_us(lambda: run(1 + more), 1) - quietest_us(lambda: run(1), 3)) / more


def in_node(claims: list[bytes]) -> list[float | None]:
    """Microseconds for each claim, once the engine is warm; NaN for one that runs out of its stack."""
    script = CHECKERS / "lexwatt_check.js"
    if not script.exists() or shutil.which("node") is None:
        return [None] * len(claims)
    text = "".join(claim.hex() + "\n" for claim in claims)
    done = subprocess.run(
        ["node", "-e", NODE, str(script)],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(word) for word in done.stdout.split()]


def table(items: list[Item]) -> None:
    """Prints sizes and times, and which certificates of one unit are above what they may take."""
    print(
        "| claim | claim, bytes | certificate, bytes | made, ms | Python, certificate, µs | Python, claim, µs |", end=""
    )
    print(" OCaml, claim, µs | Node, claim, µs |\n|---|---|---|---|---|---|---|---|")
    missed = []
    # What else this process holds is nothing that the collector should search while a checker is timed.
    gc.freeze()
    for item, node in zip(items, in_node([item.claim for item in items]), strict=True):
        problem, tree = claim_from_bytes(item.claim)
        data = to_bytes(tree)
        assert refutes(problem, tree)
        times = 20 if len(item.claim) > 5_000 else 300
        alone = quietest_us(lambda p=problem, d=data: refutes(p, from_bytes(d)), times)  # type: ignore[misc]
        whole = quietest_us(lambda c=item.claim: refutes(*claim_from_bytes(c)), times)  # type: ignore[misc]
        ocaml = in_ocaml(item.claim, whole)
        cells = [f"{len(item.claim):,}", f"{len(data):,}", f"{item.make_ms:,.1f}"]
        for us in (alone, whole, ocaml, node):
            cells.append("not built" if us is None else "out of stack" if math.isnan(us) else f"{us:,.0f}")
        print(f"| {item.kind} | {' | '.join(cells)} |", flush=True)
        if item.of_a_unit and (len(item.claim) > MOST_BYTES or alone > MOST_US):
            missed.append(item.kind)
    print(f"\nat most {MOST_BYTES} bytes and {MOST_US:.0f} µs for one unit: {', '.join(missed) or 'kept by all'}")


def receipts(folder: Path) -> None:
    """Prints what a receipt costs in Python, its signature apart."""
    key = load_or_create(folder / "log.key", "bench.example/guard")
    vkey = key.verifier.text()
    documents: dict[str, bytes] = {}
    print(
        "\n| receipt | bytes | made, ms | checked, ms | of which Ed25519 | of which the decision |"
        "\n|---|---|---|---|---|---|"
    )
    with Ledger.open(folder / "guard.db", key) as ledger:
        guard = Guard(core(), ledger, Sealer(), time.monotonic_ns, keep=documents.__setitem__)
        bent = request(UNIT, Fraction(480_000), hz=Fraction("50.7"), previous=400_000, reference=500_000)
        homes = [request(u.id, Fraction(9_000)) for u in fleet().pool("homes")]
        decisions = {
            "admitted": guard.decide(request(UNIT, Fraction(400_000))),
            "repaired": guard.decide(bent),
            "refused, a value missing": guard.decide(request(UNIT, Fraction(400_000), soc=None)),
            "pool of six, repaired": guard.decide_pool("homes", homes),
        }
        for what, decision in decisions.items():
            receipt = ledger.receipt(decision.index).encode()
            document = documents[decision.ruleset]
            head, _, note = receipt.decode().partition("\n\n")
            body, _, signature = note.partition("\n\n")
            signed = base64.b64decode(signature.split()[-1])[4:]
            predicate = read_record(base64.b64decode(head.splitlines()[1].removeprefix("extra ")))
            rounds = [
                quietest_us(lambda d=decision: ledger.receipt(d.index), 10),  # type: ignore[misc]
                quietest_us(lambda r=receipt, d=document: verify_receipt(r, vkey, d), 10),  # type: ignore[misc]
                quietest_us(lambda b=body, s=signed: ed25519.verify(key.verifier.public, f"{b}\n".encode(), s), 10),  # type: ignore[misc]
                quietest_us(lambda d=document, p=predicate: check_decision(d, p), 10),  # type: ignore[misc]
            ]
            assert ed25519.verify(key.verifier.public, f"{body}\n".encode(), signed)
            print(
                f"| {what} | {len(receipt):,} | " + " | ".join(f"{us / 1000:.2f}" for us in rounds) + " |", flush=True
            )


def main() -> None:
    """Prints both tables."""
    table([*of_rules(), *of_decisions(), *of_plans()])
    with tempfile.TemporaryDirectory() as folder:
        receipts(Path(folder))


if __name__ == "__main__":
    main()
