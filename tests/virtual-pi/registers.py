"""The register log and the console of the virtual Pi, read and played back."""

import functools
import json
import re
from dataclasses import dataclass, field

# The guest's time counter: 62.5 MHz.
NS_PER_TICK = 16
# The PWM clock of this kernel: 10 MHz.
PWM_TICK_NS = 100

# What the guest writes into the register DMAC, with the scenario's number below.
BEGIN, SIGNAL, END = 0x4C43, 0x4C53, 0x4C45


class Wrong(Exception):
    """Something that must not be, at a line of the register log (or of none, 0)."""

    def __init__(self, rule, line, text):
        super().__init__(text)
        self.rule, self.line, self.text = rule, line, text


@dataclass(frozen=True)
class Store:
    line: int
    ns: int
    register: str
    value: int


@dataclass(frozen=True)
class Level:
    """An output written; `before` is what its latch held."""

    line: int
    ns: int
    pin: int
    high: bool
    before: bool


@dataclass(frozen=True)
class Function:
    """A pin that changed its function: 0 input, 1 output, 2 ALT5."""

    line: int
    ns: int
    pin: int
    function: int
    high: bool


@dataclass(frozen=True)
class Pwm:
    """The state of a PWM channel after a store to one of its registers, in ticks of 0.1 us."""

    line: int
    ns: int
    channel: int
    on: bool
    period: int
    width: int


@dataclass
class Scenario:
    number: int
    name: str
    status: int = None
    stdout: str = ""
    stderr: str = ""
    seen: str = ""
    begin: Store = None
    signals: list = field(default_factory=list)
    end: Store = None
    levels: list = field(default_factory=list)
    functions: list = field(default_factory=list)
    pwm: dict = field(default_factory=lambda: {0: [], 1: []})
    # The latches as they were when it began.
    latches: dict = field(default_factory=dict)
    # Whether each channel ran then.
    was_on: dict = field(default_factory=dict)

    def report(self):
        try:
            return json.loads(self.stdout)
        except ValueError:
            raise Wrong("report", 0, f"standard output holds no JSON: {self.stdout!r}") from None

    def of_pin(self, pin):
        return [level for level in self.levels if level.pin == pin]

    def touched(self):
        return bool(self.levels or self.functions or self.pwm[0] or self.pwm[1])


# The same log is read many times, each time with one change.
@functools.cache
def read_line(line):
    """Time, register and value of a line; none if it is no line of a log."""
    match = re.fullmatch(r"(\d+) (?:GPIO|PWM) (\S+) (0x[0-9a-f]{8})", line)
    return match and (int(match[1]) * NS_PER_TICK, match[2], int(match[3], 16))


@functools.cache
def kind_of(register):
    """What a register is, and the number behind its name: GPSET0 is SET and 0."""
    match = re.fullmatch(r"(?:GP)?(SET|CLR|FSEL|RNG|DAT)([0-5])", register)
    return (match[1], int(match[2])) if match else (register, 0)


def read_log(lines):
    """The stores of a register log, one by one; lines count from 1."""
    for number, line in enumerate(lines, 1):
        parts = read_line(line)
        if not parts:
            raise Wrong("log", number, f"this line cannot be read: {line!r}")
        yield Store(number, *parts)


def read_console(text):
    """What each scenario said, by its number."""
    scenarios, current, part = {}, None, None
    for line in text.replace("\r", "").split("\n"):
        if match := re.search(r"== begin (\d+) (\S+)$", line):
            current, part = Scenario(int(match[1]), match[2]), None
            scenarios[current.number] = current
        elif match := re.fullmatch(r"== end (\d+) status=(\d+)", line):
            scenarios[int(match[1])].status = int(match[2])
            current = None
        elif line in ("== stdout", "== stderr", "== seen"):
            part = line.removeprefix("== ")
        elif current and part:
            setattr(current, part, getattr(current, part) + line + "\n")
    if "== all done" not in text:
        raise Wrong("console", 0, "the guest did not come to its end")
    return scenarios


def play(stores, scenarios, only=None):
    """Plays the stores back into latches, functions and PWM channels, each scenario's part into it. With
    `only`, up to the end of the scenario of this name."""
    latch = dict.fromkeys(range(54), False)
    function = dict.fromkeys(range(54), 0)
    period, width, on = {0: 0, 1: 0}, {0: 0, 1: 0}, {0: False, 1: False}
    current = None

    def keep(into, event):
        if current:
            into(current).append(event)

    for store in stores:
        (register, number), value = kind_of(store.register), store.value
        at = (store.line, store.ns)
        if register == "DMAC":
            kind, scenario = value >> 16, scenarios.get(value & 0xFFFF)
            if scenario is None:
                raise Wrong("log", store.line, "a mark of a scenario that the console does not know")
            if kind == BEGIN:
                current = scenario
                scenario.begin, scenario.latches, scenario.was_on = store, dict(latch), dict(on)
            elif kind == SIGNAL:
                scenario.signals.append(store)
            elif kind == END:
                scenario.end, current = store, None
                if scenario.name == only:
                    return
        elif register in ("SET", "CLR"):
            high, first = register == "SET", 32 * number
            for pin in (first + bit for bit in range(32) if value >> bit & 1):
                keep(lambda s: s.levels, Level(*at, pin, high, latch[pin]))
                latch[pin] = high
        elif register == "FSEL":
            for place in range(10):
                pin, new = 10 * number + place, value >> (3 * place) & 7
                if pin < 54 and function[pin] != new:
                    function[pin] = new
                    keep(lambda s: s.functions, Function(*at, pin, new, latch[pin]))
        elif register in ("RNG", "DAT"):
            channel = number - 1
            (period if register == "RNG" else width)[channel] = value
            keep(lambda s: s.pwm[channel], Pwm(*at, channel, on[channel], period[channel], width[channel]))
        elif register == "CTL":
            for channel in (0, 1):
                new = bool(value >> (8 * channel) & 1)
                if new != on[channel]:
                    on[channel] = new
                    keep(lambda s: s.pwm[channel], Pwm(*at, channel, new, period[channel], width[channel]))


def read_plan(lines):
    """The rising edges of every axis' STEP in a simulation's trace, in nanoseconds: {axis: [time]}."""
    axis, codes, edges, now = None, {}, {}, 0
    for line in map(str.strip, lines):
        if match := re.match(r"\$scope module (\S+)", line):
            axis = match[1]
        elif match := re.match(r"\$var wire 1 (\S+) step ", line):
            codes[match[1]] = edges.setdefault(axis, [])
        elif line.startswith("#"):
            now = int(line[1:])
        elif line.startswith("1") and now > 0 and line[1:] in codes:
            codes[line[1:]].append(now)
    return edges
