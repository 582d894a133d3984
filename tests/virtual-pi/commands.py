#!/usr/bin/env python3
"""The commands of a page, one a line: its section, a tab, and what stands behind the `$ `.

    commands.py docs/install.md SECTION...

A section's name is its heading in small letters, with - for what is no letter; those of two levels have a / between.
Without sections: the names of all that have commands.
"""

import re
import sys


def slug(heading):
    return re.sub(r"[^a-z]+", "-", heading.lower()).strip("-")


def commands(lines):
    path, inside = [], False
    for line in lines:
        if line.startswith("```"):
            inside = not inside
        elif not inside and (match := re.match(r"(##+) (.*)", line)):
            depth = len(match[1]) - 2
            path = [*path[:depth], slug(match[2])]
        elif inside and line.startswith("$ "):
            yield "/".join(path), line[2:].rstrip("\n")


def main():
    page, *wanted = sys.argv[1:]
    with open(page, encoding="utf-8") as file:
        found = list(commands(file))
    sections = dict.fromkeys(section for section, _ in found)
    if not wanted:
        print(*sections, sep="\n")
        return
    for name in wanted:
        if name not in sections:
            sys.exit(f"{page} has no section {name} with commands; it has {', '.join(sections)}")
        for section, command in found:
            if section == name:
                print(section, command, sep="\t")


if __name__ == "__main__":
    main()
