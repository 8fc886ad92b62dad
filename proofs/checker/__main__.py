"""`python -m proofs.checker RECEIPT --key KEY --rules DOCUMENT [--policy DOCUMENT]`: checks a receipt.

Standard library alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from proofs.checker.certificate import Bad
from proofs.checker.receipt import verify_receipt


def main(arguments: list[str]) -> int:
    """Prints what was verified, or why not; returns 0 when all holds, 1 when something does not, 2 for a bad call."""
    parser = argparse.ArgumentParser(prog="python -m proofs.checker", description=__doc__)
    parser.add_argument("receipt", type=Path)
    parser.add_argument("--key", required=True, help="the log's verifier key, or a file that holds it")
    parser.add_argument("--rules", required=True, type=Path, help="the rule set document the record names")
    parser.add_argument("--policy", type=Path, help="the guard policy's document, where the record names one")
    chosen = parser.parse_args(arguments)
    try:
        key = Path(chosen.key).read_text(encoding="utf-8") if Path(chosen.key).is_file() else chosen.key
        policy = chosen.policy.read_bytes() if chosen.policy else None
        found = verify_receipt(chosen.receipt.read_bytes(), key, chosen.rules.read_bytes(), policy)
    except OSError as error:
        print(f"cannot read: {error}", file=sys.stderr)
        return 2
    except Bad as error:
        print(f"NOT VERIFIED: {error}", file=sys.stderr)
        return 1
    print(describe(found.predicate, found.index, found.checkpoint.size, found.checkpoint.origin, found.not_rederived))
    return 0


def describe(predicate: dict[str, Any], index: int, size: int, origin: str, not_rederived: tuple[str, ...] = ()) -> str:
    """What a verified receipt shows, in plain words."""
    lines = [
        f"verified: {predicate['id']} at {predicate['at']}: {predicate['outcome']} ({predicate['reason']})",
        f"  requested {predicate['requested']}, sent {predicate['command']}",
        f"  signed by {origin}: record {index} of {size}",
        f"  judged again under rule set {str(predicate['ruleset'])[:23]}…",
    ]
    if predicate.get("policy") is not None:
        lines.append(f"  followed guard policy {str(predicate['policy'])[:23]}…")
    for entry in predicate.get("yielded", []):
        broken = ", ".join(f["rule"] for f in entry["findings"]) or "none of its rules is broken"
        lines.append(
            f"  tier {entry['tier']} yielded ({broken}); certificate: nothing satisfied it beside those over it"
        )
    if predicate["certificate"] is not None:
        gap = f" to within {predicate['gap']}" if predicate["gap"] else ""
        closer = f"no compliant command lies closer to the request{gap}"
        what = closer if predicate["outcome"] == "repaired" else "no compliant command exists"
        lines.append(f"  certificate: {what}")
    if predicate.get("recorded") == "after":
        lines.append("  the record was made after the act, as the service class declares")
    if not_rederived:
        lines.append(f"  not re-derived, judged by the interpreter alone: {', '.join(not_rederived)}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
