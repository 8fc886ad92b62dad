"""Three checkers, one answer: plain Python, OCaml extracted from the Coq proof, and the same as JavaScript."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections import Counter
from itertools import product as combinations
from pathlib import Path

import pytest

from proofs.checker import certificate
from proofs.checker.certificate import Bad, Fact, Problem, Tree, refutes
from proofs.checker.claim import claim_from_bytes, claim_from_json
from proofs.encode import claim_bytes, claim_json
from proofs.maker import Satisfiable, Undecided, refute

BUILT = Path(__file__).resolve().parents[2] / "build" / "checkers"
NODE = """
require(process.argv[1]);
const verify = globalThis.lexwattVerify || module.exports.lexwattVerify || require(process.argv[1]).lexwattVerify;
const lines = require('fs').readFileSync(0, 'utf8').split('\\n').filter(line => line);
console.log(lines.map(line => verify(Uint8Array.from(Buffer.from(line, 'hex'))) ? '1' : '0').join('\\n'));
"""


def built() -> None:
    if not (BUILT / "lexwatt_check.js").exists() or shutil.which("node") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the extracted checkers are not built: run `make checkers`")
        pytest.skip("the extracted checkers are not built: `make checkers` needs Coq, js_of_ocaml and Node")


def python_says(data: bytes) -> bool:
    try:
        problem, tree = claim_from_bytes(data)
        return refutes(problem, tree)
    except Bad:
        return False


def others_say(claims: list[bytes]) -> tuple[list[bool], list[bool]]:
    text = "".join(data.hex() + "\n" for data in claims)
    ocaml = subprocess.run(
        [BUILT / "lexwatt-check", "--batch"], input=text, capture_output=True, text=True, timeout=200
    )
    node = subprocess.run(
        ["node", "-e", NODE, str(BUILT / "lexwatt_check.js")], input=text, capture_output=True, text=True, timeout=400
    )
    assert not node.stderr, node.stderr[:2000]
    return [x == "1" for x in ocaml.stdout.split()], [x == "1" for x in node.stdout.split()]


def _row(pick: random.Random, n: int) -> Fact:
    terms = tuple((i, a) for i in range(n) if (a := pick.randint(-4, 4)))
    return ("L", terms, pick.randint(-14, 8), pick.random() < 0.3)


def _fact(pick: random.Random, n: int, depth: int) -> Fact:
    if depth == 0 or pick.random() < 0.5:
        return _row(pick, n)
    return (pick.choice("AO"), tuple(_fact(pick, n, depth - 1) for _ in range(pick.randint(1, 3))))


def random_problem(pick: random.Random) -> Problem:
    """Small, whole where it can be tried point by point; a third of them with a product."""
    plain = pick.randint(1, 3)
    box = [(pick.randint(-4, 0), pick.randint(0, 4)) for _ in range(plain)]
    products: tuple[tuple[int, int, int], ...] = ()
    if pick.random() < 0.35:
        x, y = sorted((pick.randrange(plain), pick.randrange(plain)))
        corners = [a * b for a in box[x] for b in box[y]]
        products = ((plain, x, y),)
        box.append((min(corners), max(corners)))
    n = len(box)
    ints = frozenset(range(n)) if pick.random() < 0.6 else frozenset()
    return Problem(n, tuple(box), ints, products, tuple(_fact(pick, n, 2) for _ in range(pick.randint(1, 5))))


def genuine(pick: random.Random, count: int) -> tuple[list[tuple[Problem, Tree]], list[Problem]]:
    good: list[tuple[Problem, Tree]] = []
    false: list[Problem] = []
    while len(good) < count:
        problem = random_problem(pick)
        try:
            good.append((problem, refute(problem, seconds=2)))
        except Satisfiable:
            false.append(problem)
        except Undecided:
            continue
    return good, false


def damaged(pick: random.Random, data: bytes) -> bytes:
    """Bytes with a bit turned, a byte dropped, doubled or replaced, a number nudged, or an end cut off."""
    copy = bytearray(data)
    at = pick.randrange(4, len(copy))
    match pick.randrange(6):
        case 0:
            copy[at] ^= 1 << pick.randrange(8)
        case 1:
            del copy[at]
        case 2:
            copy.insert(at, copy[at])
        case 3:
            copy[at] = pick.randrange(256)
        case 4:
            copy[at] = (copy[at] + pick.choice((-2, -1, 1, 2))) % 256
        case _:
            copy = copy[: pick.randrange(4, len(copy))]
    return bytes(copy)


def has_point(problem: Problem) -> bool | None:
    """By trying each whole point of the box; None where the problem is not of that kind."""
    if any(low is None or high is None or high - low > 40 for low, high in problem.box) or problem.n > 4:
        return None
    spans = [range(low, high + 1) for low, high in problem.box]  # type: ignore[operator, arg-type]
    for point in combinations(*spans):
        fits = all(point[w] == point[x] * point[y] for w, x, y in problem.products)
        if fits and all(_holds(f, point) for f in problem.facts):
            return True
    return False


def _holds(fact: Fact, point: tuple[int, ...]) -> bool:
    if fact[0] == "L":
        total = sum(a * point[i] for i, a in fact[1])
        return bool(total < fact[2] if fact[3] else total <= fact[2])
    return (all if fact[0] == "A" else any)(_holds(part, point) for part in fact[1])


def test_the_three_agree_and_none_accepts_what_is_false() -> None:
    built()
    pick = random.Random(20261124)
    good, false = genuine(pick, 500)
    claims = [claim_bytes(problem, tree) for problem, tree in good]
    count = len(claims)
    for problem, tree in good:
        claims += [damaged(pick, claim_bytes(problem, tree)) for _ in range(36)]
        claims += [claim_bytes(pick.choice(false), tree) for _ in range(4)]
    answers = [python_says(data) for data in claims]
    ocaml, javascript = others_say(claims)
    assert len(claims) >= 20_000
    assert all(answers[:count])
    assert ocaml == answers
    assert javascript == answers
    tried: Counter[str] = Counter()
    for data, accepted in zip(claims, answers, strict=True):
        found = has_point(claim_from_bytes(data)[0]) if accepted else None
        tried["accepted" if accepted else "refused"] += 1
        tried["tried point by point"] += found is not None
        assert found is not True, "a false claim was accepted"
    assert tried["tried point by point"] > 500
    assert tried["refused"] > 5000


@pytest.mark.parametrize(
    "data",
    [
        b"LWC1",
        b"LWC2\x00\x00\x00\x00\x05",
        b"LWC1\x01\x03\x02\x00\x00\x00\x00\x05",
        b"LWC1\x01\x03\x02\x00\x00\x00\x00\x05\x00",
        b"LWC1\x01\x03\x82\x00\x00\x00\x00\x00\x05",
        b"LWC1\x01\x07\x02\x00\x00\x00\x00\x05",
        b"LWC1\x00\x00\x00\x01" + b"\x01\x01" * 300 + b"\x01\x00\x05",
        b"LWC1\x00\x00\x00\x00" + b"\x04\x00\x00" * 300 + b"\x05",
        b"LWC1\xff\xff\xff\xff\x7f",
        b"LWC1\x00\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\x7f\x00",
        b"LWC1\x00\x00\x00\x01\x00\x00\x00" + b"\xff" * 700,
        b"LWC1\x03\x03\x00\x04\x03\x00\x04\x03\x02\x08\x00\x01\x02\x00\x01\x00\x05",
    ],
)
def test_the_three_agree_on_hostile_bytes(data: bytes) -> None:
    built()
    expected = data == b"LWC1\x01\x03\x02\x00\x00\x00\x00\x05"
    assert python_says(data) is expected
    assert others_say([data]) == ([expected], [expected])


@pytest.mark.parametrize(
    ("pairs", "accepted"),
    [(b"\x02\x00\x02\x01\x02", True), (b"\x02\x00\x02\x00\x02", False), (b"\x02\x01\x02\x00\x02", False)],
)
def test_the_linear_facts_of_a_leaf_ascend(pairs: bytes, accepted: bool) -> None:
    built()
    data = b"LWC1\x01\x03\x00\x02\x00\x00\x02" + b"\x00\x00\x01\x00\x02\x01" * 2 + b"\x00" + pairs
    assert python_says(data) is accepted
    assert others_say([data]) == ([accepted], [accepted])


@pytest.mark.parametrize("least", [0, -1])
def test_a_claim_of_tens_of_thousands_of_bytes_fits_in_the_stack_of_a_browser(least: int) -> None:
    built()
    count = 3000
    total: Fact = ("L", tuple((i, 1) for i in range(count)), -1, False)
    beside: tuple[Fact, ...] = tuple(("L", ((i, 1),), 3, False) for i in range(count))
    problem = Problem(count, ((least, None),) * count, frozenset(), (), (*beside, total))
    data = claim_bytes(problem, ("F", ((count, 1),)))
    assert len(data) > 30_000
    assert python_says(data) is (least == 0)
    assert others_say([data]) == ([least == 0], [least == 0])


@pytest.mark.parametrize(("variables", "accepted"), [(14_998, True), (14_999, False)])
def test_a_claim_may_ask_for_so_much_work_and_no_more(variables: int, accepted: bool) -> None:
    built()
    no: Fact = ("L", ((0, 1),), -1, False)
    idle: Fact = ("L", (), 0, False)
    # 5000 nodes; variables, and 5000 facts beside the one with a term, which counts for two.
    problem = Problem(variables, ((0, 1),) * variables, frozenset(), (), (no, ("O", (idle,) * 4999)))
    data = claim_bytes(problem, ("S", 0, (("F", ((0, 1),)),) * 4999))
    assert (5000 * (variables + 5002) <= certificate.MAX_WORK) is accepted
    assert python_says(data) is accepted
    command = [BUILT / "lexwatt-check", "--batch"]
    said = subprocess.run(command, input=data.hex() + "\n", capture_output=True, text=True, timeout=60).stdout
    assert said.split() == ["1" if accepted else "0"]


def test_the_proof_rests_on_the_axioms_of_the_real_numbers_alone() -> None:
    built()
    found = {line.split()[0] for line in (BUILT / "axioms.txt").read_text().splitlines() if line[:1].isalpha()}
    assert found == {
        "Axioms:",
        "ClassicalDedekindReals.sig_forall_dec",
        "FunctionalExtensionality.functional_extensionality_dep",
    }
    for path in (Path(certificate.__file__).parents[1] / "coq").glob("*.v"):
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in ("Admitted", "admit.", "Axiom", "Parameter"))


def test_both_forms_say_the_same() -> None:
    pick = random.Random(5)
    for problem, tree in genuine(pick, 60)[0]:
        assert claim_from_bytes(claim_bytes(problem, tree)) == (problem, tree)
        assert claim_from_json(json.dumps(claim_json(problem, tree)).encode()) == (problem, tree)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"problem": {"box": [], "ints": [], "products": [], "facts": [["L", [], 0.5, false]]}, "certificate": ["X"]}',
        '{"problem": {"box": [[0, NaN]], "ints": [], "products": [], "facts": []}, "certificate": ["X"]}',
        '{"problem": {"box": [["1", 0]], "ints": [], "products": [], "facts": []}, "certificate": ["X"]}',
        '{"problem": {"box": [[1, 0]], "ints": [0, 0], "products": [], "facts": []}, "certificate": ["X"]}',
        '{"problem": {"box": [[1, 0]], "ints": [], "products": [], "facts": []}, "certificate": ' + "[" * 2000,
        '{"problem": {"box": {"0": 1}, "ints": [], "products": [], "facts": []}, "certificate": ["X"]}',
        '{"problem": {"box": [5], "ints": [], "products": [], "facts": []}, "certificate": ["X"]}',
        '{"problem": {"box": [[1]], "ints": [], "products": [], "facts": []}, "certificate": ["X"]}',
        '{"problem": {"box": "F", "ints": [], "products": [], "facts": []}, "certificate": ["X"]}',
        '{"problem": {"box": [[1, 0]], "ints": [], "products": [[0, 1]], "facts": []}, "certificate": ["X"]}',
        '{"problem": {"box": [[1, 0]], "ints": [], "products": 5, "facts": []}, "certificate": ["X"]}',
        '{"problem": {"box": [[1, 0]], "ints": [], "products": [], "facts": 5}, "certificate": ["X"]}',
        '{"problem": {"box": [], "box": [[1, 0]], "ints": [], "products": [], "facts": []}, "certificate": ["X"]}',
    ],
)
def test_hostile_readable_claims_are_refused(text: str) -> None:
    with pytest.raises(Bad):
        refutes(*claim_from_json(text.encode()))


def test_the_python_checker_is_small() -> None:
    assert len(Path(certificate.__file__).read_text(encoding="utf-8").splitlines()) < 300
