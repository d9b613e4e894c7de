#!/usr/bin/env python3
"""Checks links and quotes of every document, and plays the guides: runs their code blocks from top to bottom.

Usage: scripts/docs.py check                   every relative link and anchor has its target; quoted messages are in the code
       scripts/docs.py play BINARIES [PAGE…]   runs the documents for users with the programs in BINARIES

`scripts/docs.sh` builds the programs, makes the Python environment, and does both.

A page is played in an empty folder. Words after the language of a fence say what happens to the block; GitHub ignores them.

  sh run            runs in the page's shell, which keeps variables and folder; must exit with 0 (`status=N`: in a subshell, with N)
  console run       a transcript: each line that begins with `$ ` runs, and prints the lines that follow it
  sh background     starts in the background, and ends with the page; as `console`: one `$ ` line, and what it prints
  output            directly after one of these: what it prints. `…` stands for anything in a line; a line that is only `…`
                    stands for any lines. Behind `background`, the output so far must contain these lines within a minute.
                    Ids, epochs, times and durations stand for others of their shape.
  file=NAME         is written to NAME, in the folder of the page's shell
  same=PATH         equals the file PATH of this repository
  browser=URL see=TEXT
                    with file=: the URL is opened in Chromium now; after the next block that runs, the page must show TEXT
  skip=REASON       is not run
  norun             (in pages that are played) is no program: the shape of a command, a fragment

A line `<!-- block: WORDS -->` above a fence says the same, in pages of crates: rustdoc accepts no `=` behind a fence.
A line `<!-- run: COMMAND -->` runs a command that readers do not see, such as pressing Ctrl-C in another terminal:
`<!-- run: kill %1; wait %1 -->`.

The first column of a table behind `<!-- quoted from: FOLDER… -->` quotes messages: each piece between `…` stands in the code there.

Ports 4000, 8080 and 3000 are replaced by free ones, so that pages can be played beside other servers; programs get the first by
SAMBAD_LISTEN and SAMBAD_SERVER.
"""

import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# cargo compiles the examples of the other crates' pages, and runs the commands of scaling.md.
PLAYED = ["README.md", "docs/quickstart.md", "docs/guides/*.md", "docs/explanation/log-and-cursors.md", "docs/explanation/security.md",
          "docs/reference/*.md", "sambad-cli/README.md"]
# Languages whose blocks are data: of all others, each block says what is done with it.
DATA = {"", "text", "json", "mermaid", "diff", "http", "yaml", "ini"}
# What is done with a block: one of these. The other words belong to one of them.
ACTIONS = {"run", "background", "output", "norun", "file", "same", "skip"}
BELONG = {"status": "run", "browser": "file", "see": "browser"}
# Addresses of files in the public repository, in texts that are read outside of it. The changelog names the repository.
REPOSITORY = re.search(r"^REPOSITORY=(\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
REPOSITORY = re.compile(re.escape(REPOSITORY) + r"/(?:blob|tree)/main/([^\s)\]\"'<>`]+)")
RUN_TIMEOUT_S = 120
OUTPUT_TIMEOUT_S = 60


class Failure(Exception):
    pass


class Block:
    def __init__(self, line, language, words, text):
        self.line, self.language, self.text, self.words = line, language, text, {}
        for word in shlex.split(words):
            key, _, value = word.partition("=")
            if key not in ACTIONS | BELONG.keys():
                raise Failure(f"line {line}: unknown word {word!r} after the fence")
            self.words[key] = value or True
        if self.words and len(ACTIONS & self.words.keys()) != 1:
            raise Failure(f"line {line}: a block needs one of {', '.join(sorted(ACTIONS))}")
        for key, other in BELONG.items():
            if key in self.words and other not in self.words:
                raise Failure(f"line {line}: {key!r} needs {other!r}")
        if "browser" in self.words and "see" not in self.words:
            raise Failure(f"line {line}: 'browser' needs 'see'")


def parse(text):
    """Returns the blocks and hidden commands of a page in order, and its lines without code."""
    items, prose, lines = [], [], text.split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        hidden = re.fullmatch(r"\s*<!-- run: (.*) -->\s*", line)
        fence = re.match(r"^(\s*)(`{3,}|~{3,})\s*([^\s`]*)[ \t]*([^`]*)$", line)
        if hidden:
            items.append(Block(at + 1, "sh", "run", hidden[1]))
        if not fence:
            if re.match(r"\s*>.*(?:```|~~~)", line):
                raise Failure(f"line {at + 1}: a block in a quotation is not played")
            prose.append((at + 1, line))
            at += 1
            continue
        indent, mark, begun, at = len(fence[1]), fence[2], at + 1, at + 1
        body = []
        while at < len(lines) and lines[at].strip() != mark:
            body.append(lines[at][indent:] if not lines[at][:indent].strip() else lines[at])
            at += 1
        if at == len(lines):
            raise Failure(f"line {begun}: the block has no end")
        above = re.fullmatch(r"\s*<!-- block: (.*) -->\s*", lines[begun - 2]) if begun > 1 else None
        items.append(Block(begun, fence[3], above[1] if above else fence[4], "\n".join(body) + "\n"))
        at += 1
    return items, prose


# ---- links


def anchors(prose):
    """The anchors that GitHub gives to the headings of a page."""
    seen, found = {}, set()
    for _, line in prose:
        found.update(re.findall(r'<a (?:id|name)="([^"]+)"', line))
        heading = re.match(r"#{1,6}\s+(.*?)\s*#*$", line)
        if not heading:
            continue
        title = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
        slug = re.sub(r"[^\w\- ]", "", title.lower().replace("`", "")).replace(" ", "-")
        found.add(slug if slug not in seen else f"{slug}-{seen[slug]}")
        seen[slug] = seen.get(slug, 0) + 1
    return found


def tracked(pattern):
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", pattern], cwd=ROOT, check=True, capture_output=True, text=True)
    return sorted({ROOT / name for name in listed.stdout.split("\n") if name and (ROOT / name).exists()})


def sources(folders):
    """The Rust code of some folders, without tests and with the lines of each string literal joined."""
    texts = []
    for folder in folders.split():
        for path in sorted((ROOT / folder).rglob("*.rs")):
            if "tests" not in path.parts and path.name != "tests.rs":
                code = re.sub(r"^\s*//.*$", "", path.read_text().split("#[cfg(test)]")[0], flags=re.MULTILINE)
                texts.append(re.sub(r"\\\n\s+", "", code))
    return "".join(texts)


def quotes(where, text):
    """Messages in tables that the code does not have."""
    tables = len(re.findall(r"<!-- quoted from: (.*) -->\n+((?:\|.*\n)+)", text))
    if tables != text.count("\n<!-- quoted from:"):
        yield f"{where}: a comment `quoted from` has no table directly behind it"
    for found in re.finditer(r"<!-- quoted from: (.*) -->\n+((?:\|.*\n)+)", text):
        code = sources(found[1])
        for row in found[2].splitlines()[2:]:
            for quote in re.findall(r"`([^`]+)`", row.split("|")[1]):
                for piece in re.split(r"…|\bN\b", quote):
                    if piece.strip() not in code:
                        yield f"{where}: no message {piece.strip()!r} in the code"


def known(path, files):
    """Whether the repository has this file or folder: what lies on this machine alone does not count."""
    return path in files or path == ROOT or any(path in file.parents for file in files)


def check():
    complaints, pages, files = [], {}, set(tracked("*"))
    for path in tracked("*.md"):
        try:
            pages[path] = parse(path.read_text())
            complaints += quotes(path.relative_to(ROOT), path.read_text())
        except Failure as failure:
            complaints.append(f"{path.relative_to(ROOT)}: {failure}")
    anchors_of = {path: anchors(prose) for path, (_, prose) in pages.items()}
    checked = 0
    for path, (items, prose) in pages.items():
        where = path.relative_to(ROOT)
        for line, text in prose:
            text = re.sub(r"`[^`]*`", "", text)
            for target in re.findall(r"\]\(([^)\s]+)\)|(?:href|src|srcset)=\"([^\"]+)\"|^\[[^\]]+\]:\s*(\S+)", text):
                target = next(part for part in target if part)
                if re.match(r"[a-z]+:", target):
                    continue
                checked += 1
                name, _, anchor = target.partition("#")
                found = (path.parent / name).resolve() if name else path
                if not known(found, files):
                    complaints.append(f"{where}:{line}: no file {target}")
                elif anchor and found.suffix == ".md" and anchor not in anchors_of.get(found, set()):
                    complaints.append(f"{where}:{line}: no heading {target}")
        if path in played():
            for block in items:
                if block.language not in DATA and not block.words:
                    complaints.append(f"{where}:{block.line}: the block does not say how it is run")
    # In texts of every kind: documents, packages, alerts, forms, messages of programs.
    for path in files:
        if path.is_symlink() or b"\0" in path.read_bytes()[:8000]:
            continue
        for number, line in enumerate(path.read_text(errors="replace").split("\n"), 1):
            for found in REPOSITORY.finditer(line):
                checked += 1
                name, _, anchor = found[1].rstrip(".,;:").partition("#")
                target = ROOT / name
                if not known(target, files):
                    complaints.append(f"{path.relative_to(ROOT)}:{number}: no file {found[0]}")
                elif anchor and target.suffix == ".md" and anchor not in anchors_of.get(target, set()):
                    complaints.append(f"{path.relative_to(ROOT)}:{number}: no heading {found[0]}")
    print(f"{checked} links in {len(pages)} documents")
    return complaints


def played():
    return [path for pattern in PLAYED for path in sorted(ROOT.glob(pattern))]


# ---- playing


def free_ports(number):
    """Free ports below those that the kernel gives to connections."""
    found = []
    port = 20000 + os.getpid() * 7 % 11000
    while len(found) < number:
        port += 1
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                found.append(port)
            except OSError:
                pass
    return found


# What differs from run to run: an example shows a value, and another one of the same shape is as good.
SHAPES = [
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}",   # an id
    r"[0-9a-f]{8}(?=-\d+\b)",                                           # an epoch
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{6}Z)?",                    # a date and time
    r"\b\d\d:\d\d:\d\d\.\d{3}\b",                                        # a time
    r" +\d+(?:\.\d)? (?:µs|ms)\b",                                      # a duration
]


def escaped(text):
    """A regular expression for a text, which leaves open what differs from run to run."""
    parts, at = [], 0
    for found in re.finditer("|".join(SHAPES), text):
        shape = next(shape for shape in SHAPES if re.match(shape, text[found.start():]))
        parts += [re.escape(text[at:found.start()]), shape]
        at = found.end()
    return "".join([*parts, re.escape(text[at:])])


def pattern_of(lines):
    """A regular expression for the lines of an `output` block."""
    parts = []
    for line in lines:
        if line.strip() in ("…", "..."):
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(escaped(part) for part in line.rstrip().split("…")) + r"[ \t]*\n")
    return "".join(parts)


class Browser:
    """Headless Chromium, driven through chromedriver."""

    def __init__(self):
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True, start_new_session=True)
        port = next(found[1] for line in self.driver.stdout if (found := re.search(r"successfully on port (\d+)", line)))
        self.address = f"http://127.0.0.1:{port}/session"
        # Without these flags Chromium looks up hosts of its maker at every start.
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
                 "--disable-sync", "--no-first-run"]
        options = {"goog:chromeOptions": {"binary": shutil.which("chromium"), "args": flags}}
        self.address += "/" + self.call("POST", "", {"capabilities": {"alwaysMatch": options}})["sessionId"]

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["value"]

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def text(self):
        return self.call("POST", "/execute/sync", {"script": "return document.documentElement.innerText", "args": []})

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            os.killpg(self.driver.pid, signal.SIGTERM)
            self.driver.wait()


class Stage:
    """The folder, the shell, and the background programs of one page."""

    def __init__(self, binaries, folder):
        self.folder, self.ports = folder, dict(zip((4000, 8080, 3000), free_ports(3)))
        self.inner = folder / "page"
        self.inner.mkdir()
        listen = f"127.0.0.1:{self.ports[4000]}"
        paths = [binaries, binaries / "examples", ROOT / "target/docs/bin"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SAMBAD_")}
        environment |= {"PATH": ":".join([*map(str, paths), os.environ["PATH"]]), "HOME": str(folder), "SAMBAD_LISTEN": listen,
                        "SAMBAD_SERVER": f"http://{listen}", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "NODE_NO_WARNINGS": "1"}
        told, self.status = os.pipe()
        self.told = told
        self.shell = subprocess.Popen(["bash", "--noprofile", "--norc"], cwd=self.inner, env=environment, stdin=subprocess.PIPE, text=True,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[self.status], start_new_session=True)
        os.close(self.status)
        # Each background program gets a process group of its own, by which it can be ended with all its children.
        self.say("set -m")
        self.count, self.jobs, self.last = 0, [], None
        self.browser, self.awaited = None, None

    def say(self, command):
        try:
            self.shell.stdin.write(command + "\n")
            self.shell.stdin.flush()
        except BrokenPipeError:
            raise Failure("the page's shell has ended") from None

    def ported(self, text):
        text = re.sub(r"(?<=[:,] )4000\b|(?<=:)4000\b|(?<=port )4000\b", str(self.ports[4000]), text)
        for port in (8080, 3000):
            text = re.sub(rf"(?<![\w.]){port}(?![\w.])", str(self.ports[port]), text)
        return text

    def written(self, text):
        self.count += 1
        script, output = self.folder / f"block-{self.count}.sh", self.folder / f"output-{self.count}"
        script.write_text(text)
        output.touch()
        return script, output

    def answer(self):
        """The next line that the shell writes to the status pipe; None if it has ended, or takes too long."""
        line = b""
        deadline = time.monotonic() + RUN_TIMEOUT_S
        while not line.endswith(b"\n"):
            if not select.select([self.told], [], [], max(0, deadline - time.monotonic()))[0]:
                raise Failure(f"still runs after {RUN_TIMEOUT_S} s")
            piece = os.read(self.told, 1)
            if not piece:
                return None
            line += piece
        return int(line)

    def run(self, text, wanted=0):
        script, output = self.written("set -e -o pipefail\n" + self.ported(text) + "\nset +e +o pipefail\n")
        if wanted:
            # A block that is to fail runs in a subshell: `set -e` ends it.
            self.say(f"( source {script} ) >{output} 2>&1; echo $? >&{self.status}")
        else:
            self.say(f"trap 'echo $? >&{self.status}' EXIT; source {script} >{output} 2>&1; trap - EXIT; echo 0 >&{self.status}")
        try:
            status = self.answer()
        except Failure as failure:
            raise Failure(f"{failure}\n{output.read_text()}") from None
        if status != wanted:
            raise Failure(f"exit status {status}, expected {wanted}:\n{output.read_text()}")
        self.last = (output, False)
        if self.awaited:
            text, self.awaited = self.awaited, None
            self.until(lambda: text in self.browser.text(), lambda: f"the page does not show {text!r}:\n{self.browser.text()}")

    def background(self, text):
        script, output = self.written("set -e -o pipefail\n" + self.ported(text))
        self.say(f"( source {script} ) >{output} 2>&1 </dev/null {self.status}>&- & echo $! >&{self.status}")
        self.jobs.append((self.answer(), output))
        self.last = (output, True)

    def output(self, text):
        if not self.last:
            raise Failure("output without a block that runs before it")
        output, running = self.last
        wanted = pattern_of(self.ported(text).rstrip("\n").split("\n"))
        if running:
            found = re.compile("(?:^|\n)" + wanted)
            self.until(lambda: found.search(output.read_text()), lambda: f"the output lacks these lines:\n{output.read_text()}")
        elif not re.fullmatch(wanted, output.read_text().rstrip("\n") + "\n"):
            raise Failure(f"the output is\n{output.read_text()}")

    def until(self, holds, complaint):
        deadline = time.monotonic() + OUTPUT_TIMEOUT_S
        while not holds():
            if time.monotonic() > deadline:
                raise Failure(complaint())
            time.sleep(0.05)

    def play(self, block):
        words = block.words
        if "same" in words and (ROOT / words["same"]).read_text() != block.text:
            raise Failure(f"the block differs from {words['same']}")
        if "file" in words:
            # Beside what the page's shell would write: a page may have changed its folder.
            path = Path(os.readlink(f"/proc/{self.shell.pid}/cwd")) / words["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.ported(block.text))
        if "browser" in words:
            if self.awaited:
                raise Failure(f"no block runs after the page that is to show {self.awaited!r}")
            self.browser = self.browser or Browser()
            self.browser.open(self.ported(words["browser"]))
            self.awaited = words["see"]
            if self.awaited in self.browser.text():
                raise Failure(f"the page shows {self.awaited!r} before the block that is to bring it")
        if "run" in words and block.language == "console":
            before, *parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
            if before.strip() or not parts:
                raise Failure("a transcript begins with `$ `")
            for part in parts:
                command, _, printed = part.partition("\n")
                self.run(command)
                if printed.strip():
                    self.output(printed)
        elif "run" in words:
            self.run(block.text, int(words.get("status", 0)))
        elif "background" in words and block.language == "console":
            command, _, printed = block.text.removeprefix("$ ").partition("\n")
            self.background(command)
            self.output(printed)
        elif "background" in words:
            self.background(block.text)
        elif "output" in words:
            self.output(block.text)

    def close(self):
        if self.browser:
            self.browser.close()
        groups = [pid for pid, _ in self.jobs if pid]
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + 15
            while groups and time.monotonic() < deadline:
                for group in list(groups):
                    try:
                        os.killpg(group, number)
                    except ProcessLookupError:
                        groups.remove(group)
                time.sleep(0.05)
        self.shell.kill()
        self.shell.wait()
        os.close(self.told)


def play(binaries, pages):
    complaints = []
    for page in pages:
        where, begun, block, blocks = page.relative_to(ROOT), time.monotonic(), None, 0
        with tempfile.TemporaryDirectory(prefix="sambad-docs-") as folder:
            stage = Stage(binaries, Path(folder))
            try:
                for block in parse(page.read_text())[0]:
                    stage.play(block)
                    blocks += bool(block.words) and not {"skip", "norun"} & block.words.keys()
                if stage.awaited:
                    raise Failure(f"no block runs after the page that is to show {stage.awaited!r}")
                print(f"ok    {where} ({blocks} blocks, {time.monotonic() - begun:.1f} s)", flush=True)
            except Failure as failure:
                complaints.append(f"{where}:{block.line if block else 0}: {failure}")
                complaints += [f"  a program in the background printed:\n{output.read_text()}" for _, output in stage.jobs]
            finally:
                stage.close()
    return complaints


def main(arguments):
    if arguments == ["check"]:
        complaints = check()
    elif len(arguments) >= 2 and arguments[0] == "play":
        pages = [Path(name).resolve() for name in arguments[2:]] or played()
        complaints = play(Path(arguments[1]).resolve(), pages)
    else:
        print(__doc__, file=sys.stderr)
        return 2
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
