"""Licences and known vulnerabilities of the pinned packages: `make lint`.

Licences are read from what is installed. Vulnerabilities are asked of PyPI; where it cannot be asked, that is
said, and no fault.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

PINS = ("requirements.txt", "requirements-dev.txt")

ALLOWED = re.compile(
    r"MIT|(0|\d-Clause )?BSD|Apache|Python Software Foundation|PSF|MPL[- ]2|ISC|Zlib|CC0"
    r"|Mozilla Public License 2|BSL-1\.0|Unlicense|HPND"
)
"""Licences under which an MIT-licensed program may be used and given on with them."""

EXCEPTIONS = {"diptest": "GPLv2+"}
"""Imported by one statistic, and not given on with Strata."""


def pinned(root: Path = Path()) -> list[str]:
    """Names of the packages that are pinned for use or for tests."""
    texts = [(root / name).read_text(encoding="utf-8") for name in PINS]
    return re.findall(r"^([\w.-]+)==", "\n".join(texts), re.M)


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)


def of_other_licences(packages: Iterable[Mapping[str, str]]) -> list[str]:
    """A line for each package whose licence is none of those allowed."""
    found = []
    for package in packages:
        name, text = package["Name"], package["License"]
        parts = re.split(r" AND |;", text) if len(text) < 300 else [text]  # some give all of it
        if EXCEPTIONS.get(name) != text and not all(ALLOWED.search(part) for part in parts):
            found.append(
                f"{name}: licence {text!r:.80} (expected: a permissive one, or an exception with its reason)"
            )
    return found


def vulnerable(audited: Iterable[Mapping]) -> tuple[list[str], list[str]]:
    """A line for each package with a known vulnerability; names of those that could not be asked about."""
    lines, unknown = [], []
    for package in audited:
        if "skip_reason" in package:
            unknown.append(package["name"])
        for found in package.get("vulns", ()):
            fixed = ", ".join(found["fix_versions"]) or "no version yet"
            lines.append(f"{package['name']} {package['version']}: {found['id']} (mended in {fixed})")
    return lines, unknown


def main() -> None:
    """Check both; the exit status is 1 if there is something to mend."""
    listed = run("piplicenses", "--format=json", "--packages", *pinned())
    faults = of_other_licences(json.loads(listed.stdout))
    options = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--timeout=10", "--format=json"]
    audit = run("pip_audit", *(f"--requirement={name}" for name in PINS), *options)
    if not audit.stdout.strip():
        print(f"vulnerabilities: not asked about, {audit.stderr.strip().splitlines()[-1]:.200}")
    else:
        found, unknown = vulnerable(json.loads(audit.stdout)["dependencies"])
        faults += found
        if unknown:
            print(f"vulnerabilities: the index knows nothing of {len(unknown)} packages, as {unknown[0]}")
    sys.exit("\n".join(faults) or 0)


if __name__ == "__main__":
    main()
