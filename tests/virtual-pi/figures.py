"""Figures of emulation: compared with those that were accepted last, and written down anew on demand."""

import json
import re
from dataclasses import dataclass

# A figure may grow by this much unnoticed.
GROWTH = 1.05
# And by this much, whatever it is: what the log can tell apart.
GRAIN = {"us": 0.1, "ms": 0.02, "kB": 64, "": 0}

BEGIN, END = "<!-- figures of emulation -->", "<!-- end of the figures -->"


@dataclass(frozen=True)
class Figure:
    """Something that is better when it is less."""

    scenario: str
    name: str
    value: float
    unit: str
    # Whether it may not grow. What hangs on a coincidence is only shown.
    compared: bool = True

    def key(self):
        return f"{self.scenario}: {self.name}"

    def text(self):
        return f"{self.value:g} {self.unit}".strip()


def read(file_name):
    with open(file_name, encoding="utf-8") as file:
        return json.load(file)


def grown(figures, accepted):
    """What has grown, what is new and what is gone, each as a line for people."""
    found, before = [], dict(accepted["figures"])
    for figure in (f for f in figures if f.compared):
        was = before.pop(figure.key(), None)
        if was is None:
            found.append(f"{figure.key()} is new: {figure.text()}")
        elif figure.value > was * GROWTH + GRAIN[figure.unit]:
            percent = f"{(figure.value / was - 1) * 100:+.1f} %" if was else "from nothing"
            found.append(f"{figure.key()} was {was:g} and is {figure.text()} ({percent})")
    return found + [f"{key} was {was:g} and is gone" for key, was in before.items()]


def accept(figures, made, file_name, page_name):
    """Writes the figures into the file that is compared with, and into the page for people."""
    with open(file_name, "w", encoding="utf-8") as file:
        json.dump({"made": made, "figures": {f.key(): f.value for f in figures if f.compared}}, file, indent=2)
        file.write("\n")
    rows = "\n".join(
        f"| {f.scenario} | {f.name} | {f.text()} | {'yes' if f.compared else 'no'} |" for f in figures
    )
    with open(page_name, encoding="utf-8") as file:
        page = file.read()
    table = (
        f"{BEGIN}\n{made['date']}, {made['kernel']} on QEMU's raspi3b, built by {made['compiler']}:\n\n"
        f"| scenario | figure | value | compared |\n|---|---|---|---|\n{rows}\n{END}"
    )
    page, changes = re.subn(f"{BEGIN}.*{END}", lambda _: table, page, flags=re.DOTALL)
    assert changes == 1, f"{page_name} has no place for the figures"
    with open(page_name, "w", encoding="utf-8") as file:
        file.write(page)
