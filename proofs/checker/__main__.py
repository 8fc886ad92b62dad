"""`python -m proofs.checker RECEIPT --key KEY --rules DOCUMENT [--policy DOCUMENT]`: checks a receipt.

Standard library alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from proofs.checker.certificate import Bad
from proofs.checker.receipt import Trust, Verified, verify_receipt


def main(arguments: list[str]) -> int:
    """Prints what was verified, or why not; returns 0 when all holds, 1 when something does not, 2 for a bad call."""
    parser = argparse.ArgumentParser(prog="python -m proofs.checker", description=__doc__)
    parser.add_argument("receipt", type=Path)
    parser.add_argument("--key", required=True, help="the log's verifier key, or a file that holds it")
    parser.add_argument("--rules", required=True, type=Path, help="the rule set document the record names")
    parser.add_argument("--policy", type=Path, help="the guard policy's document, where the record names one")
    parser.add_argument("--handover", action="append", default=[], type=Path, help="receipt of a change of key")
    parser.add_argument("--witness", action="append", default=[], help="a witness's verifier key, or its file")
    parser.add_argument("--quorum", type=int, help="how many witnesses must have cosigned; all when absent")
    chosen = parser.parse_args(arguments)
    try:
        key, *witnesses = (
            Path(k).read_text(encoding="utf-8") if Path(k).is_file() else k for k in (chosen.key, *chosen.witness)
        )
        quorum = len(witnesses) if chosen.quorum is None else chosen.quorum
        trust = Trust(key, [path.read_bytes() for path in chosen.handover], witnesses, quorum)
        policy = chosen.policy.read_bytes() if chosen.policy else None
        found = verify_receipt(chosen.receipt.read_bytes(), trust, chosen.rules.read_bytes(), policy)
    except OSError as error:
        print(f"cannot read: {error}", file=sys.stderr)
        return 2
    except Bad as error:
        print(f"NOT VERIFIED: {error}", file=sys.stderr)
        return 1
    print(describe(found))
    return 0


def describe(found: Verified) -> str:
    """What a verified receipt shows, in plain words."""
    predicate, head = found.predicate, found.checkpoint
    lines = [
        f"verified: {predicate['id']} at {predicate['at']}: {predicate['outcome']} ({predicate['reason']})",
        f"  requested {predicate['requested']}, sent {predicate['command']}",
        f"  signed by {head.origin}: record {found.index} of {head.size}",
        *(f"  cosigned by {name}, {at} s after 1970 began" for name, at in found.cosigned.items()),
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
    if found.not_rederived:
        lines.append(f"  not re-derived, judged by the interpreter alone: {', '.join(found.not_rederived)}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
