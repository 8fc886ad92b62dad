"""VIPR files: a checker of their own accepts those of genuine certificates and refuses damaged ones."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product as combinations
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lexwatt.cli import app
from proofs.checker.certificate import Bad, Fact, Problem, Tree, negate, refutes
from proofs.encode import claim_bytes, claim_json
from proofs.maker import Satisfiable, Undecided, refute
from proofs.to_vipr import CannotExport, to_vipr
from tests.proofs.test_three_checkers import genuine, random_problem
from tests.proofs.vipr import Read, Refused, read, verify

HANDMADE = """\
% 2x + 2y <= 3, x + y >= 1, x >= y and x - y <= 1/2 over whole x and y
VER 1.0
VAR 2 x y
INT 2 0 1
OBJ min 0
CON 4 0
r0 L 3  2 0 2 1 2
r1 G 1  2 0 1 1 1
r2 G 0  2 0 1 1 -1
r3 L 1/2  2 0 1 1 -1
RTP infeas
SOL 0
DER 6
d4 L 1  2 0 1 1 1 { rnd 1 0 1/2 } 8
d5 L 0  1 0 1 { asm } 9
d6 G 1  1 0 1 { asm } 9
d7 L -1  0 { lin 3 1 -1 2 -1 5 2 } 9
d8 L -1/2  0 { lin 3 4 1 3 1 6 -2 } 9
d9 G 1  0 { uns 7 5 8 6 } -1
"""


def test_the_checker_knows_every_reason() -> None:
    assert verify(HANDMADE) == {"rnd": 1, "asm": 2, "lin": 2, "uns": 1}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("VER 1.0", "VER 1.1", "`1.0` was expected"),
        ("INT 2 0 1", "INT 1 0", "cannot be rounded"),
        ("INT 2 0 1", "INT 1 1", "cannot be rounded"),
        ("INT 2 0 1", "INT 2 0 0", "whole twice"),
        ("INT 2 0 1", "INT 2 0 2", "from 0 to 1"),
        ("CON 4 0", "CON 4 1", "no bound"),
        ("CON 4 0", "CON 3 0", "`RTP` was expected"),
        ("r0 L 3", "r0 L 4", "does not give row 4"),
        ("r0 L 3", "r0 < 3", "no sense"),
        ("r0 L 3", "r0 L nan", "not a number"),
        ("r0 L 3", "r0 L 3/0", "not a number"),
        ("r1 G 1", "r1 G 0", "does not give row 7"),
        ("r2 G 0", "r2 L 0", "mixes"),
        ("r3 L 1/2", "r3 L 1", "does not give row 8"),
        ("r3 L 1/2  2 0 1 1 -1", "r3 L 1/2  2 0 1 0 -1", "same thing twice"),
        ("RTP infeas", "RTP no", "nothing to be shown"),
        ("RTP infeas", "RTP range 1 1", "`inf` was expected"),
        ("OBJ min 0\n", "OBJ some 0\n", "neither"),
        ("DER 6", "DER 5", "words follow"),
        ("DER 6", "DER 7", "ends too soon"),
        ("rnd 1 0 1/2", "lin 1 0 1/2", "does not give row 4"),
        ("rnd 1 0 1/2", "rnd 1 0 1/4", "cannot be rounded"),
        ("rnd 1 0 1/2", "rnd 1 4 1", "from 0 to 3"),
        ("d4 L 1 ", "d4 L 0 ", "does not give row 4"),
        ("} 8\n", "} 7\n", "given up"),
        ("d5 L 0", "d5 L -1", "between them"),
        ("d5 L 0", "d5 L 1/2", "does not give row 7"),
        ("d6 G 1  1 0 1", "d6 G 1  1 1 1", "does not give row 8"),
        ("d5 L 0  1 0 1 { asm }", "d5 L 0  1 0 1 { lin 0 }", "does not give row 5"),
        ("{ asm } 9\nd6", "{ sol } 9\nd6", "no reason"),
        ("lin 3 1 -1 2 -1 5 2", "lin 3 1 -1 2 -1 5 1", "does not give row 7"),
        ("lin 3 1 -1 2 -1 5 2", "lin 3 1 -1 2 1 5 2", "mixes"),
        ("lin 3 1 -1 2 -1 5 2", "lin 2 1 -1 2 -1", "does not give row 7"),
        ("lin 3 1 -1 2 -1 5 2", "lin 3 1 -1 2 -1 9 2", "from 0 to 6"),
        ("uns 7 5 8 6", "uns 7 6 8 5", "rests on assumptions"),
        ("uns 7 5 8 6", "uns 7 5 8 5", "between them"),
        ("uns 7 5 8 6", "uns 7 5 5 6", "both sides"),
        ("uns 7 5 8 6", "uns 7 5 7 6", "rests on assumptions"),
        ("uns 7 5 8 6", "lin 1 7 -1", "rests on assumptions"),
        ("d9 G 1  0", "d9 G 1  1 0 1", "not what is to be shown"),
        ("d9 G 1  0", "d9 L 1  0", "not what is to be shown"),
        ("d9", "d9 ?", "no sense"),
        ("} -1\n", "} -1\nd10\n", "words follow"),
        ("} -1\n", "", "ends too soon"),
    ],
)
def test_the_checker_refuses_each_kind_of_damage(old: str, new: str, why: str) -> None:
    damaged = HANDMADE.replace(old, new, 1)
    assert damaged != HANDMADE
    with pytest.raises(Refused, match=why):
        verify(damaged)


def exported(pick: random.Random, count: int) -> tuple[list[tuple[Problem, Tree, str]], Counter[str]]:
    """Genuine certificates with their files, and how often an export was refused and why."""
    done: list[tuple[Problem, Tree, str]] = []
    refused: Counter[str] = Counter()
    for problem, tree in genuine(pick, count)[0] + [by_a_hair(pick) for _ in range(count // 10)]:
        try:
            done.append((problem, tree, to_vipr(problem, tree)))
        except CannotExport as error:
            refused[str(error)] += 1
    return done, refused


def by_a_hair(pick: random.Random) -> tuple[Problem, Tree]:
    """Real x, y and either x + a y < b or x + a y < c, where c < b, but never less than b."""
    a, b = pick.randint(1, 5), pick.randint(-3, 3)
    below, above = ("L", ((0, 1), (1, a)), b, True), ("L", ((0, -1), (1, -a)), -b, False)
    lower = ("L", ((0, 1), (1, a)), b - 1, True)
    problem = Problem(2, ((-9, 9), (-9, 9)), frozenset(), (), (("O", (below, ("A", (lower, lower)))), above))
    return problem, refute(problem)


def test_files_of_genuine_certificates_are_accepted() -> None:
    done, refused = exported(random.Random(41), 300)
    reasons: Counter[str] = Counter()
    for problem, _, text in done:
        reasons.update(verify(text))
        assert read(text)[0].whole >= problem.ints
    assert len(done) > 200
    assert sum("RTP range -inf 0" in text for _, _, text in done) > 3
    assert all(reasons[kind] > 50 for kind in ("asm", "lin", "uns"))
    assert all("that a whole-number split gives" in why for why in refused)


def test_cuts_are_written() -> None:
    pick = random.Random(43)
    done = 0
    while done < 40:
        problem = random_problem(pick)
        if problem.products:
            continue
        terms = tuple((i, pick.choice((-2, -1, 1, 3))) for i in range(problem.n))
        cut = ("L", terms, pick.randint(-3, 3), False)
        try:
            halves = [
                refute(Problem(problem.n, problem.box, problem.ints, (), (*problem.facts, side)), seconds=2)
                for side in (cut, negate(cut))
            ]
        except (Satisfiable, Undecided):
            continue
        verify(to_vipr(problem, ("C", cut[1], cut[2], *halves)))
        done += 1


def fits(file: Read, false: int, point: tuple[int, ...], gaps: bool) -> bool:
    """Whether a point satisfies the rows but one, a gap being 1 and the 0/1 variables chosen to fit.

    A row bounds one z from above, or by a sum of others, so there is a greatest choice: all 1, then 0 where it must.
    """
    rows = file.rows[:false] + file.rows[false + 1 :]
    values = dict(enumerate(point)) | dict.fromkeys(range(len(point), file.size), 1)
    zs = range(len(point), file.size - gaps)
    while broken := next((row for row in rows if not row.holds(values)), None):
        worse = 1 if broken.sense == "L" else -1
        culprit = next((z for z in zs if broken.terms.get(z, 0) * worse > 0 and values[z]), None)
        if culprit is None:
            return False
        values[culprit] = 0
    return True


def holds(fact: Fact, point: tuple[int, ...]) -> bool:
    if fact[0] == "L":
        total = sum(a * point[i] for i, a in fact[1])
        return bool(total < fact[2] if fact[3] else total <= fact[2])
    return (all if fact[0] == "A" else any)(holds(part, point) for part in fact[1])


@pytest.mark.parametrize("gaps", [False, True])
def test_the_rows_say_what_the_facts_say(gaps: bool) -> None:
    pick = random.Random(47)
    seen: Counter[tuple[bool, bool]] = Counter()
    for _ in range(90):
        problem = random_problem(pick)
        # A last row that is false makes a file of any problem; where it is so by a hair, with gaps.
        n = problem.n
        facts = (*problem.facts, ("L", ((n, 1),), 0, True) if gaps else ("L", (), -1, False))
        false = Problem(n + 1, (*problem.box, (0, 1)), problem.ints, problem.products, facts)
        plain = ("F", ((sum(map(_linear, facts)) - 1, 1),))
        tree = _multiplied(false, plain, pick)
        text = to_vipr(false, tree)
        verify(text)
        file = read(text)[0]
        assert file.goal.absurd() is not gaps
        last = len(read(to_vipr(false, plain))[0].rows) - 1
        for point in combinations(*(range(low, high + 1) for low, high in problem.box)):  # type: ignore[arg-type,operator]
            if any(point[w] != point[x] * point[y] for w, x, y in problem.products):
                continue
            true = all(holds(fact, point) for fact in problem.facts)
            found = fits(file, last, (*point, 0), gaps)
            # Without gaps, strict rows over variables that need not be whole say less.
            assert found == true if gaps or problem.ints else found >= true
            seen[true, tree != plain] += 1
    assert min(seen.values()) > 25


def _multiplied(problem: Problem, leaf: Tree, pick: random.Random) -> Tree:
    """The leaf under products of facts and bounds, some of them in the members of a disjunction."""
    bounds = range(-2 * problem.n, 0)
    joined = sum(map(_linear, problem.facts))
    tree = leaf
    for k in [*range(joined - 1), *pick.sample(bounds, 4), joined, joined]:
        wrapped: Tree = ("P", pick.choice(bounds), k, tree)
        some = next((fact for fact in _choices(problem.facts)), None)
        if k == joined:
            if some is None:
                continue
            wrapped = ("S", 0, tuple(wrapped if part[0] == "L" else tree for part in some[1]))
        try:
            if refutes(problem, wrapped):
                tree = wrapped
        except Bad:
            continue
    return tree


def _choices(facts: Sequence[Fact]) -> Iterator[Fact]:
    for fact in facts:
        if fact[0] == "O":
            yield fact
        elif fact[0] == "A":
            yield from _choices(fact[1])


def test_products_in_members_of_two_disjunctions_follow() -> None:
    pick = random.Random(61)
    seen: Counter[bool] = Counter()

    def one(v: int) -> Fact:
        return ("L", ((v, pick.choice((-2, -1, 1, 2))),), pick.randint(-2, 2), pick.random() < 0.5)

    for whole in [frozenset[int](), frozenset({0, 1, 2})] * 15:
        facts = (("O", (one(0), one(0))), ("O", (one(1), one(1))), ("L", (), -1, False))
        problem = Problem(3, ((-2, 2), (-2, 2), (-4, 4)), whole, ((2, 0, 1),), facts)
        leaf: Tree = ("F", ((0, 1),))
        times = [("P", 1, 2, ("P", -1, 2, leaf)), leaf]
        tree = ("S", 0, (("S", 1, (times[0], times[0])), ("S", 1, (times[0], times[1]))))
        file = read(to_vipr(problem, tree))[0]
        rows = [row for row in file.rows if not row.absurd()]
        assert len(rows) > 6 + 8 + 2 + 4
        for x, y in combinations(range(-2, 3), range(-2, 3)):
            true = all(holds(fact, (x, y)) for fact in facts[:2])
            values = [{0: x, 1: y, 2: x * y, **dict(enumerate(z, 3))} for z in combinations(*[(0, 1)] * 4)]
            found = any(all(row.holds(v) for row in rows) for v in values)
            assert found == true if whole else found >= true
            seen[true] += 1
    assert min(seen.values()) > 100


def _linear(fact: Fact) -> int:
    """How many linear facts a fact adds at once."""
    return {"L": lambda: 1, "O": lambda: 0, "A": lambda: sum(map(_linear, fact[1]))}[fact[0]]()


def damages(text: str) -> list[tuple[str, str]]:
    """Files that differ from this one where it counts, each with what was done."""
    head, _, tail = text.partition("DER ")
    lines = tail.splitlines()
    out = [("last dropped", f"{head}DER {len(lines) - 2}\n" + "\n".join(lines[1:-1]))]
    out.append(("nothing derived", f"{head}DER 0\n"))
    out.append(("another goal", text.replace("G 1 0 {", "G 0 0 {") if "infeas" in text else text.replace("L 0", "L 1")))
    rows = read(text)[0].rows
    for n, line in enumerate(lines):
        if match := re.search(r"\{ lin (\d+) ([^}]*)\}", line):
            parts = match[2].split()
            for k in range(0, len(parts), 2):
                if len(parts) > 2:
                    flipped = [*parts[: k + 1], str(-Fraction(parts[k + 1])), *parts[k + 2 :]]
                    out.append(("sign", _with(head, lines, n, line.replace(match[2].strip(), " ".join(flipped)))))
                weaker = _weaker(head, int(parts[k]), len(rows))
                if weaker is not None:
                    out.append(("row made weaker", weaker + "DER " + tail))
        if match := re.search(r"uns (\d+) (\d+) (\d+) (\d+)", line):
            a, b, c, d = match.groups()
            for what, new in (
                ("sides swapped", f"uns {a} {d} {c} {b}"),
                ("no assumption", f"uns {a} {a} {c} {d}"),
                ("one side twice", f"uns {a} {b} {a} {d}"),
                ("one side alone", f"lin 1 {c} 1"),
            ):
                out.append((what, _with(head, lines, n, line.replace(match[0], new))))
            out.append(("whole no more", re.sub(r"INT \d+\n[\d ]*\n", "INT 0\n", text)))
        if "asm" in line and any(re.search(rf"(lin|uns) .*\b{n + len(rows) - 1}\b", other) for other in lines[n + 1 :]):
            out.append(("asserted", _with(head, lines, n, line.replace("asm", "lin 0"))))
    return out


def _with(head: str, lines: list[str], n: int, line: str) -> str:
    return head + "DER " + "\n".join([*lines[:n], line, *lines[n + 1 :]])


def _weaker(head: str, index: int, count: int) -> str | None:
    """The problem with the right side of a row moved far away; None for a derived row."""
    if index >= count:
        return None
    start, _, rest = head.partition("CON ")
    lines = rest.splitlines()
    name, sense, right, terms = lines[index + 1].split(" ", 3)
    lines[index + 1] = f"{name} {sense} {int(right) + (10**6 if sense == 'L' else -(10**6))} {terms}"
    return start + "CON " + "\n".join(lines) + "\n"


def test_damaged_files_are_refused() -> None:
    tried: Counter[str] = Counter()
    for _, _, text in exported(random.Random(53), 160)[0]:
        for what, damaged in damages(text):
            tried[what] += 1
            with pytest.raises(Refused):
                verify(damaged)
    assert len(tried) == 11
    assert min(tried.values()) > 30


WHOLE = frozenset({0, 1, 2})
BOX = ((0, 3), (0, 3), (0, 9))


@pytest.mark.parametrize(
    ("problem", "tree", "why"),
    [
        (
            Problem(1, ((0, None),), frozenset(), (), (("L", ((0, 2),), -1, False),)),
            ("C", ((0, 1),), 0, ("F", ((0, 1),)), ("F", ((0, 1),))),
            "variable 0, which the box leaves open",
        ),
        (
            Problem(3, BOX, WHOLE, ((2, 0, 1),), (("L", ((2, 1),), -1, False),)),
            ("I", 0, 1, ("P", -2, -4, ("F", ((0, 1),))), ("F", ((0, 1),))),
            "split gives variable 0",
        ),
        (
            Problem(1, ((0, None),), WHOLE & {0}, (), (("O", (("L", ((0, 1),), -1, False),)),)),
            ("S", 0, (("F", ((0, 1),)),)),
            "variable 0, which the box leaves open",
        ),
    ],
)
def test_what_cannot_be_said_is_named(problem: Problem, tree: Tree, why: str) -> None:
    with pytest.raises(CannotExport, match=why):
        to_vipr(problem, tree)


def test_strict_rows_over_whole_variables_are_said_exactly() -> None:
    problem = Problem(1, ((0, 1),), frozenset({0}), (), (("L", ((0, 1),), 0, True),))
    assert "L -1 1 0 1" in to_vipr(problem, ("F", ((0, 1),)))


def test_the_deepest_facts_and_certificates_are_written() -> None:
    fact: Fact = ("L", ((0, 1),), -1, False)
    for level in range(200):
        fact = ("O", (fact,)) if level % 2 else ("A", (fact,))
    tree: Tree = ("F", ((1, 1),))
    for k in reversed(range(100)):
        tree = ("S", k, (tree,))
    for _ in range(100):
        tree = ("I", 0, 0, tree, ("F", ((0, 1),)))
    problem = Problem(1, ((0, 1),), frozenset({0}), (), (("L", ((0, 2),), -1, False), fact))
    assert verify(to_vipr(problem, tree))["uns"] == 100


def test_a_certificate_that_fails_is_not_written() -> None:
    with pytest.raises(Bad):
        to_vipr(Problem(1, ((0, 1),), frozenset({0}), (), ()), ("X",))


def test_the_command_reads_both_forms_and_says_why_not(tmp_path: Path) -> None:
    problem, tree, text = exported(random.Random(59), 12)[0][-1]
    cut = Problem(1, ((0, None),), frozenset(), (), (("L", ((0, 2),), -1, False),))
    leaf = ("F", ((0, 1),))
    files = {
        "good.claim": claim_bytes(problem, tree),
        "good.json": json.dumps(claim_json(problem, tree)).encode(),
        "false.claim": claim_bytes(Problem(1, ((0, 1),), frozenset(), (), ()), ("X",)),
        "real.claim": claim_bytes(cut, ("C", ((0, 1),), 0, leaf, leaf)),
        "short.claim": claim_bytes(problem, tree)[:-1],
        "empty.json": b"{}",
    }
    told = {}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        place = tmp_path / (name + ".vipr")
        found = CliRunner().invoke(app, ["vipr", str(tmp_path / name), "--out", str(place)])
        told[name] = (found.exit_code, place.exists(), found.output)
        if place.exists():
            assert place.read_text() == text
    assert {name: answer[:2] for name, answer in told.items()} == {
        "good.claim": (0, True),
        "good.json": (0, True),
        "false.claim": (1, False),
        "real.claim": (1, False),
        "short.claim": (1, False),
        "empty.json": (1, False),
    }
    assert "VIPR cannot express a disjunction or cut" in told["real.claim"][2]
    assert CliRunner().invoke(app, ["vipr", str(tmp_path / "none"), "--out", str(tmp_path / "x")]).exit_code == 2
