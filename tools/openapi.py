"""Write docs/reference/openapi.json: the API's contract, from the code that serves it.

`PYTHONPATH=src python tools/openapi.py` writes it; with `--check` it only says whether it is current.
"""

import json
import sys
from pathlib import Path

from axisor.api.app import describe_app, openapi

TARGET = Path(__file__).resolve().parents[1] / "docs" / "reference" / "openapi.json"


def rendered() -> str:
    """Return the document as it stands in the repository: sorted, so that a change shows as what changed."""
    return json.dumps(openapi(describe_app()), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    text = rendered()
    if "--check" in sys.argv[1:]:
        is_current = TARGET.is_file() and TARGET.read_text() == text
        print("current" if is_current else f"{TARGET} is not current: run tools/openapi.py")
        return 0 if is_current else 1
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(text)
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
