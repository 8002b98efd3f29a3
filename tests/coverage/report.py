#!/usr/bin/env python3
"""What no test reaches, and whether docs/coverage.md says why.

    report.py BUILD DOCUMENT [--all]

Reads what the programs in BUILD have left, through gcov. Prints how many lines and branches of each
file were reached; then what of daemon/storage and daemon/engine was not and is not in the document,
and what is in the document and was. It exits with 1 if there is any. With --all it prints all that
was not reached, in the form of the document.

The document has a heading for each file and below it an item for each place: the function, the
text of the line, and why no test gets there. So it stays true when lines move.

    ### daemon/storage/posix_disk.cpp
    - `PosixDisk::list`: `if (failed != 0) {`: the reason

Left out are branches that gcov knows to be taken by exceptions, those of MQD_ASSERT, and those of
lines without a word (a closing brace, where objects end).
"""
import collections
import json
import pathlib
import re
import subprocess
import sys

LAYERS = ("daemon/storage/", "daemon/engine/", "daemon/core/")
CHECKED = LAYERS[:2]
ENTRY = re.compile(r"- `([^`]*)`: `([^`]*)`: .")


def run_gcov(build):
    """What gcov says of each object: of those that ran, and of those of the layers that did not."""
    notes = [data.with_suffix(".gcno") for data in build.rglob("*.gcda")]
    for layer in LAYERS:
        folder = build / "CMakeFiles" / f"mqd_{layer.split('/')[1]}.dir" / layer
        notes += [note for note in folder.glob("*.gcno")
                  if note not in notes and (pathlib.Path(layer) / note.stem).exists()]
    command = ["gcov", "--json-format", "--stdout", "--branch-probabilities", *sorted(notes)]
    # That an object never ran is an error to gcov, and none to us.
    output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            check=False).stdout
    told = [json.loads(line) for line in output.splitlines() if line]
    if len(told) != len(notes):
        sys.exit(f"report.py: gcov tells of {len(told)} objects of {len(notes)}")
    return told


def template_of(name):
    """The function as it is written, without arguments: all that a template was made into is one."""
    name = re.sub(r"operator(<=>|<<|<=|<|>=|>>|>|->|\(\))", "operator", name)
    name = name.replace("(anonymous namespace)::", "")
    while (shorter := re.sub(r"<[^<>]*>|\([^()]*\)|\[[^\[\]]*\]", "", name)) != name:
        name = shorter
    return name.removesuffix(" const").strip()


def short_name(name):
    """As a reader knows it: a lambda by the function that it is in."""
    parts = name.split("::{lambda")[0].removesuffix(" const").split(" ")[-1].split("::")
    return "::".join(part for part in parts[-2:] if part not in ("storage", "engine", "core", "mqd"))


class Line:
    """One line of one function, out of all objects that have it; they differ in number of branches
    where a template was made into different things."""

    def __init__(self):
        self.count = 0
        self.branches = collections.defaultdict(list)  # by how many there are

    def add(self, told):
        self.count += told["count"]
        taken = [branch["count"] for branch in told["branches"] if not branch["throw"]]
        before = self.branches[len(taken)] or [0] * len(taken)
        self.branches[len(taken)] = [a + b for a, b in zip(before, taken)]

    def counts(self):
        """How often each branch was taken; of what never ran in any object, once."""
        ran = [counts for counts in self.branches.values() if any(counts)]
        return sum(ran, []) if ran else self.branches[max(self.branches)]


def gather(told):
    """file -> (line number, function) -> Line"""
    files = collections.defaultdict(lambda: collections.defaultdict(Line))
    root = str(pathlib.Path.cwd()) + "/"
    for unit in told:
        for file in unit["files"]:
            name = str(pathlib.Path(unit["current_working_directory"], file["file"]).resolve())
            name = name.removeprefix(root)
            if not name.startswith(LAYERS):
                continue
            functions = {f["name"]: template_of(f["demangled_name"]) for f in file["functions"]}
            for line in file["lines"]:
                function = functions.get(line.get("function_name"), "")
                files[name][(line["line_number"], function)].add(line)
    return files


def documented(path):
    """How often (file, function, code) is in the document."""
    entries = collections.Counter()
    file = None
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        if line.startswith("### "):
            file = line[4:].strip()
        elif entry := ENTRY.match(line):
            entries[(file, *entry.groups())] += 1
    return entries


def share(reached, total):
    return f"{reached:5}/{total:<5} {100.0 * reached / total if total else 100.0:6.2f} %"


def measure(files):
    """Prints the table; returns what was not reached: (file, function, code) -> [(number, what)]"""
    found = collections.defaultdict(list)
    sums = collections.defaultdict(lambda: [0, 0, 0, 0])
    print(f"{'':38} {'lines':>11} {'':10} {'branches':>11}")
    for name, lines in sorted(files.items()):
        source = pathlib.Path(name).read_text(encoding="utf-8").splitlines()
        of_file = [0, 0, 0, 0]
        for (number, function), line in sorted(lines.items()):
            code = source[number - 1].strip()
            if not re.search(r"\w", code):
                continue
            branches = [] if "MQD_ASSERT(" in code else line.counts()
            taken = sum(count > 0 for count in branches)
            for of in (of_file, sums[name[: name.rindex("/") + 1]]):
                for i, value in enumerate((line.count > 0, 1, taken, len(branches))):
                    of[i] += value
            if line.count == 0:
                found[(name, short_name(function), code)].append((number, "not run"))
            elif taken < len(branches):
                what = f"{len(branches) - taken} of {len(branches)} branches are not taken"
                found[(name, short_name(function), code)].append((number, what))
        print(f"{name:38} {share(*of_file[:2])} {share(*of_file[2:])}")
    for name, of in sorted(sums.items()):
        print(f"{name + ' in all':38} {share(*of[:2])} {share(*of[2:])}")
    return found


def main():
    build, document = sys.argv[1:3]
    found = measure(gather(run_gcov(pathlib.Path(build))))
    if "--all" in sys.argv:
        for (name, function, code), places in sorted(found.items()):
            for number, what in places:
                print(f"{name}:{number}: {what}\n- `{function}`: `{code}`:")
        return 0
    known = documented(document)
    lies = 0
    for key, places in sorted(found.items()):
        if key[0].startswith(CHECKED) and len(places) > known[key]:
            lies += 1
            for number, what in places:
                print(f"not in {document}: {key[0]}:{number}: {what}\n- `{key[1]}`: `{key[2]}`:")
    for key, count in sorted(known.items()):
        if count > len(found.get(key, [])):
            lies += 1
            print(f"in {document}, but reached or gone: {key[0]}\n- `{key[1]}`: `{key[2]}`:")
    return 1 if lies else 0


sys.exit(main())
