"""What the checks share: the files of the tree, and Rust sources parted into code, comments and strings."""

import re
import subprocess
from pathlib import Path

# Order matters: a `//` inside a string is not a comment, and a quote inside a comment starts no
# string.
TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*)
    | (?P<block>/\*.*?\*/)
    | (?P<raw>\b(?:b|c)?r(?P<hashes>\#*)"(?P<rawtext>.*?)"(?P=hashes))
    | (?P<bytes>\bb"(?:[^"\\]|\\.)*")
    | (?P<string>"(?P<text>(?:[^"\\]|\\.)*)")
    | (?P<char>b?'(?:[^'\\\n]|\\[^\n]{1,9}?)')
    """,
    re.VERBOSE | re.DOTALL,
)


def listed(directory, paths=()):
    """The files that git knows or would add, as absolute paths; of `paths` or of the whole tree."""
    out = subprocess.run(
        ["git", "ls-files", "-z", "--full-name", "--cached", "--others", "--exclude-standard", "--", *paths],
        cwd=directory, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    root = top(directory)
    files = [root / name for name in out.split("\0") if name]
    return sorted({file for file in files if file.is_file()})


def top(directory):
    out = subprocess.run(
        ["git", "rev-parse", "--show-toplevel"], cwd=directory, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    return Path(out.strip())


def code_of(text, strings=False):
    """The code with comments blanked, strings too unless they are to stay; offsets and lines stay."""
    def blank(token):
        if strings and token["comment"] is None and token["block"] is None:
            return token.group()
        return re.sub(r"[^\n]", " ", token.group())

    return TOKEN.sub(blank, text)


def without_tests(code):
    """The code with items under `#[cfg(test)]` blanked. `code` has its comments and strings blanked."""
    for attribute in list(re.finditer(r"#\[cfg\((?:test|all\(test\b[^\]]*)\)\]", code)):
        start, end = attribute.start(), end_of_item(code, attribute.end())
        code = code[:start] + re.sub(r"[^\n]", " ", code[start:end]) + code[end:]
    return code


def end_of_item(code, start):
    """The offset behind the item that starts here: behind its `;`, or behind the brace that closes it."""
    depth = 0
    for index in range(start, len(code)):
        if code[index] in "({[":
            depth += 1
        elif code[index] in ")}]":
            depth -= 1
            if depth == 0 and code[index] == "}":
                return index + 1
        elif code[index] == ";" and depth == 0:
            return index + 1
    return len(code)
