#!/usr/bin/env python3
"""Counts forms that make the texts of this project hard to read, and fails where there are too many.

Usage: scripts/words.py [--list]       (--list: also prints each place)

Two rules, over Markdown without its code, the `--help` texts, and the OpenAPI and AsyncAPI documents:
- README.md, docs/quickstart.md and docs/guides/ have none of the forms below; all other documents together have few.
- A paragraph or list item of docs/protocol.md and docs/reference/ has 80 words at most.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Each form, and what to write instead.
FORMS = {
    r"whoever|whomever|whosoever": "the noun: the caller, the client, the operator",
    r"nobody|somebody|anybody|everybody": "the noun, or the passive",
    r"tells?|told|telling": "return, report, log, say",
    r"whatever": "any",
    r"of (?:which|whom)": "two sentences",
    r"may take|takes leave": "limit, quota; shut down",
    r"who asks|who it asks|asks? who|is asked|are asked": "authenticate; request",
    r"say who they are|says who it is": "authenticate",
    r"must not be missed": "high availability",
    r"lets? in|let in": "accept, admit",
    r"goes on|go on|going on|went on": "continue, resume",
    r"comes? back|came back": "return, reconnect",
    r"mend(?:s|ed|ing)?": "fix",
    r"strangers?": "unauthenticated client",
    r"answers?|answered|answering": "response, respond",
    r"is none|are none|is that of|there is none": "name it",
    r"made of the code": "generated from the code",
}
LIMIT = 36
STRICT = ("README.md", "docs/quickstart.md", "docs/guides/")
SHORT = ("docs/protocol.md", "docs/reference/")
WORDS_MAX = 80
# Texts of others, and pages that quote this list.
EXEMPT = ("LICENSE", "vendor/", "node_modules/")
# A form may be broken by the end of a line.
FORMS = {re.compile(rf"\b(?:{form})\b".replace(" ", r"(?: |[ \t]*\n[ \t>]*)"), re.IGNORECASE): instead for form, instead in FORMS.items()}


def tracked(*patterns):
    command = ["git", "ls-files", "-co", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return sorted(name for name in set(listed.stdout.split("\n")) if name and (ROOT / name).exists() and not any(part in name for part in EXEMPT))


def blanked(match):
    return re.sub(r"[^\n]", " ", match[0])


def prose(name):
    """The text of a document with its code blanked, so that lines keep their numbers."""
    text = (ROOT / name).read_text()
    if name.endswith(".json"):
        texts = []

        def walk(value):
            if isinstance(value, dict):
                texts.extend(value[key] for key in ("description", "summary", "title") if isinstance(value.get(key), str))
                list(map(walk, value.values()))
            elif isinstance(value, list):
                list(map(walk, value))

        walk(json.loads(text))
        text = "\n".join(part.replace("\n", " ") for part in texts)
    text = re.sub(r"^[ \t]*(```+|~~~+).*?^[ \t]*\1[ \t]*$", blanked, text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->", blanked, text, flags=re.DOTALL)
    text = re.sub(r"(?<=\])\([^)\s]*\)", blanked, text)
    return re.sub(r"`[^`\n]*`", blanked, text)


def paragraphs(text):
    """Paragraphs, list items and table cells: each with the number of its first line."""
    begun, words = 0, []
    for number, line in enumerate(text.split("\n") + [""], 1):
        starts = re.match(r"\s*(?:[-*+]|\d+\.)\s|#|\|", line)
        if (not line.strip() or starts) and words:
            yield begun, words
            words = []
        if line.lstrip().startswith("|"):
            yield from ((number, cell.split()) for cell in line.split("|"))
        elif line.strip():
            begun = begun if words else number
            words += line.split()


def main(arguments):
    if arguments not in ([], ["--list"]):
        print(__doc__, file=sys.stderr)
        return 2
    counts, places, long = {}, [], []
    for name in tracked("*.md", "docs/*.json", "*/tests/snapshots/help*.txt", "sambad-server/tests/it/help.txt", "deploy/sambad.toml"):
        text = prose(name)
        for form, instead in FORMS.items():
            for found in form.finditer(text):
                number, words = text.count("\n", 0, found.start()) + 1, " ".join(found[0].split())
                counts[name] = counts.get(name, 0) + 1
                places.append((name, f"{name}:{number}: {words} (write: {instead})"))
        if name.startswith(SHORT) and name.endswith(".md"):
            long += [f"{name}:{number}: {len(words)} words in one paragraph" for number, words in paragraphs(text) if len(words) > WORDS_MAX]
    strict = [place for name, place in places if name.startswith(STRICT)]
    others = [place for name, place in places if not name.startswith(STRICT)]
    for name, count in sorted(counts.items(), key=lambda entry: -entry[1]):
        print(f"{count:5}  {name}")
    print(f"{len(strict):5}  in README, quick start and guides (at most 0)")
    print(f"{len(others):5}  in all others (at most {LIMIT})")
    print("\n".join([*(strict + others if arguments or len(others) > LIMIT else strict), *long]))
    return 1 if strict or long or len(others) > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
