#!/usr/bin/env python3
"""Judges what the virtual Pi did, from its register log and its console.

    judge.py registers.log console plan-axes.vcd figures.json

With a fifth argument, a page, it does not compare the figures with those in figures.json: it writes them there and
into the page. `made` in the environment says what they were made with: the kernel and the compiler.

Ends with status 1 and one line for each scenario that went wrong: its name, the line of the register log, what is
wrong there. When all is right, it shows that it would have noticed: it changes the log in one place at a time,
and each change has to be caught by the rule it is meant for.

Needs Python 3.10 or newer and nothing else.
"""

import datetime
import os
import re
import sys

import broken
import broken_drives  # noqa: F401  it adds to the changes
import figures
import rules
import step_clock
from figures import Figure
from registers import Wrong, play, read_console, read_log, read_plan
from rules import MS, need

# Every move of the tour in guest/axes.toml, as steps of x, y and z. 400 steps are a millimetre.
TOUR = [(400, 300, 200), (800, 500, 200), (-1000, 200, 0), (400, -600, -400)]
AXES = {"x": (17, 27), "y": (23, 24), "z": (25, 16)}
SHARED_ENABLE, LOAD_ENABLE = 22, 26
# The coils of guest/coils.toml, and the least time between two of its steps: 1.25 times its top speed, 30 degrees
# a second of 4096 x 63.684 / 64 half steps a turn.
COILS = [5, 6, 13, 20]
COIL_STEP_NS = 2_350_000
# The axis of guest/clock.toml: 400 steps a turn. Its top speed and acceleration in steps.
CLOCK_DIR, CLOCK_ENABLE = 27, 22
CLOCK = step_clock.StepClock(speed=300, acceleration=600, high_ns=1_000, dir_ns=200)
# The longest that a stop may take, from the signal to the end of the program: coming to rest on the path, and
# three periods of a servo's signal. Seen: up to 0.2 s.
LONGEST_STOP_NS = 500 * MS
# What the program itself takes as too late (the default of `max-lateness`).
LATE_NS = MS
# guest/rover.toml: the neutral pulse in ticks, how long it lasts before the signal ends, and how long a stop may take
# with that.
NEUTRAL, NEUTRAL_NS = 15_000, 200 * MS
LONGEST_ROVER_STOP_NS = LONGEST_STOP_NS + NEUTRAL_NS


def servos(scenario, _plan):
    need(scenario.status == 0, "status", None, f"it ended with status {scenario.status}")
    rules.said_board(scenario)
    left = rules.signal(scenario, 0, 10_000, 20_000)
    right = rules.signal(scenario, 1, 10_000, 20_000)
    up = list(range(10_000, 20_001, 2_000))
    rules.sweep(left, up + up[-2::-1], 240 * MS)
    down = list(range(20_000, 9_999, -2_500))  # mounted the other way round
    rules.sweep(right, down + down[-2::-1], 260 * MS)
    need(not scenario.levels, "pins", scenario.begin, "a servo's program writes outputs")
    first = min(left[0].ns, right[0].ns)
    return [start_figure(scenario, first), *memory_figures(scenario)]


def rover(scenario, _plan):
    need(scenario.status == 0, "status", None, f"it ended with status {scenario.status}: {scenario.stderr!r}")
    for channel, widths in ((0, (18_000, 12_000)), (1, (12_000,))):
        states = turning(scenario, channel)
        seen = {state.width for state in states}
        need(seen.issuperset(widths), "path", scenario.end, f"channel {channel} never has all of {widths}")
    return []


def rover_stopped(scenario, _plan):
    if not scenario.touched():
        # It came before the program had taken over the signals: nothing was opened.
        return []
    need(scenario.status == 0, "status", None, f"it ended with status {scenario.status}")
    for channel in (0, 1):
        turning(scenario, channel)
    if not scenario.signals:
        return []
    took = scenario.end.ns - scenario.signals[0].ns
    need(took <= LONGEST_ROVER_STOP_NS, "time", scenario.end, f"the program ended {took / MS:.1f} ms after the signal")
    return []


def rover_panicked(scenario, _plan):
    need(scenario.status == 1, "status", None, f"it ended with status {scenario.status}, not 1")
    told = scenario.report()["motors"]["left"].get("fault", "")
    need("panicked" in told, "report", None, f"the fault of left is `{told}`")
    # Nobody is left to wait for long on the one whose loop is no more.
    turning(scenario, 0, 60 * MS)
    turning(scenario, 1)
    return []


def turning(scenario, channel, neutral_ns=NEUTRAL_NS):
    """The signal of a servo that turns continuously, when it is as it has to be."""
    states = rules.signal(scenario, channel, 10_000, 20_000)
    rules.stands_still(scenario, channel, states, NEUTRAL, neutral_ns)
    return states


def axes(scenario, plan):
    need(scenario.status == 0, "status", None, f"it ended with status {scenario.status}")
    rules.said_board(scenario)
    rules.outputs_stay(scenario, {SHARED_ENABLE, LOAD_ENABLE, *(pin for pins in AXES.values() for pin in pins)})
    edges = {}
    for number, (name, (step, direction)) in enumerate(AXES.items()):
        edges[name], signs = rules.steps(scenario, step, direction)
        rules.runs(name, signs, merged(move[number] for move in TOUR), scenario)
        rules.counts(scenario, name, signs)
    rules.lets_go(scenario, SHARED_ENABLE, edges["x"] + edges["y"])
    rules.holds(scenario, LOAD_ENABLE, edges["z"])
    moves, planned = split(edges), split(plan)
    rules.one_by_one(moves[0])
    rules.straight(moves[1])
    rules.straight(moves[2])
    # The first move is three, one after another: each begins when the one before has ended.
    alone = sorted(ns for e, t in zip(moves[0], planned[0]) for ns in rules.lateness([e], [t]))
    late = alone + [ns for edge_lists, times in zip(moves[1:], planned[1:]) for ns in rules.lateness(edge_lists, times)]
    late.sort()
    need(late[-1] <= LATE_NS, "late", scenario.end, f"a step came {late[-1] / 1000:.1f} us late")
    first = min(e[0].ns for e in edges.values())
    return [
        start_figure(scenario, first),
        *memory_figures(scenario),
        Figure(scenario.name, "deadline to pin, one axis, p50", share(alone, 50), "us"),
        Figure(scenario.name, "deadline to pin, one axis, p90", share(alone, 90), "us", compared=False),
        Figure(scenario.name, "deadline to pin, all, mean", round(sum(late) / len(late) / 1000, 3), "us", compared=False),
        Figure(scenario.name, "deadline to pin, all, p99", share(late, 99), "us", compared=False),
        Figure(scenario.name, "deadline to pin, all, max", share(late, 100), "us", compared=False),
    ]


def interrupted(scenario, _plan):
    if not scenario.touched():
        # It came before the program had taken over the signals: nothing was opened.
        return []
    need(scenario.status == 0, "status", None, f"it ended with status {scenario.status}")
    result = scenario.report()["result"]
    need(result == "stopped", "report", None, f"it says `{result}`")
    rules.signal(scenario, 0, 10_000, 20_000)
    at_rest(scenario)
    need(scenario.signals, "log", scenario.begin, "the signal left no mark")
    took = scenario.end.ns - scenario.signals[0].ns
    need(took <= LONGEST_STOP_NS, "time", scenario.end, f"the program ended {took / MS:.1f} ms after the signal")
    return [("stop", took)]


def panicked(scenario, _plan):
    """One motor's loop has panicked: its hardware is safe, and so is everybody else's, in order."""
    need(scenario.status == 1, "status", None, f"it ended with status {scenario.status}, not 1")
    motor, after = scenario.name.split("-")[1:]
    report = scenario.report()
    need(report["result"] == "failed", "report", None, f"it says `{report['result']}`")
    told = report["motors"][motor].get("fault", "")
    need("panicked" in told, "report", None, f"the fault of {motor} is `{told}`")
    rules.signal(scenario, 0, 10_000, 20_000)
    at_rest(scenario)
    took = scenario.end.ns - scenario.begin.ns
    # It takes up to 50 ms to begin its moves.
    longest = (50 + int(after)) * MS + LONGEST_STOP_NS
    need(took <= longest, "time", scenario.end, f"the program ended after {took / MS:.1f} ms")
    return []


def hung(scenario, _plan):
    """One loop hangs; all the others come to rest, and make their hardware safe."""
    need(scenario.status == 1, "status", None, f"it ended with status {scenario.status}, not 1")
    cause = scenario.report()["motors"]["x"].get("cause")
    need(cause == "no-answer", "report", None, f"the cause of x is `{cause}`")
    need("did not end: x" in scenario.stderr, "message", None, f"it does not say who is left: {scenario.stderr!r}")
    rules.signal(scenario, 0, 10_000, 20_000)
    z, signs = rules.steps(scenario, *AXES["z"])
    rules.counts(scenario, "z", signs)
    rules.holds(scenario, LOAD_ENABLE, z)
    return []


def at_rest(scenario):
    """The axes of guest/mixed.toml: whole steps, as many as are told, their drivers as the config says."""
    rules.outputs_stay(scenario, {17, 27, 25, 16, SHARED_ENABLE, LOAD_ENABLE})
    x, signs = rules.steps(scenario, *AXES["x"])
    rules.counts(scenario, "x", signs)
    rules.lets_go(scenario, SHARED_ENABLE, x)
    z, signs = rules.steps(scenario, *AXES["z"])
    rules.counts(scenario, "z", signs)
    rules.holds(scenario, LOAD_ENABLE, z)


def no_overlay(scenario, _plan):
    need(scenario.status == 3, "status", None, f"it ended with status {scenario.status}, not 3")
    rules.said_board(scenario)
    for part in ("GPIO12", "set to input", "ALT0", "dtoverlay=pwm"):
        need(part in scenario.stderr, "message", None, f"the error does not say `{part}`: {scenario.stderr!r}")
    for channel in (0, 1):
        rules.signal(scenario, channel, 1, 0)  # no width is allowed: it may not begin
    need(not scenario.functions and not scenario.levels, "pins", scenario.begin, "it changed a pin")
    return []


def killed(scenario, _plan):
    need(scenario.status == 128 + 9, "status", None, f"it ended with status {scenario.status}")
    for channel in (0, 1):
        last = scenario.pwm[channel][-1:]
        need(last and last[0].on and last[0].width, "hazard", scenario.end, f"channel {channel} is off after SIGKILL")
    return []


def killed_axes(scenario, _plan):
    need(scenario.status == 128 + 9, "status", None, f"it ended with status {scenario.status}")
    last = scenario.pwm[0][-1:]
    need(last and last[0].on and last[0].width, "hazard", scenario.end, "channel 0 is off after SIGKILL")
    enable = scenario.of_pin(SHARED_ENABLE)[-1:]
    need(enable and not enable[0].high, "hazard", scenario.end, f"GPIO{SHARED_ENABLE} is inactive after SIGKILL")
    return []


def killed_clock(scenario, _plan):
    need(scenario.status == 128 + 9, "status", None, f"it ended with status {scenario.status}")
    enable = scenario.of_pin(CLOCK_ENABLE)[-1:]
    need(enable and not enable[0].high, "hazard", scenario.end, f"GPIO{CLOCK_ENABLE} is inactive after SIGKILL")
    return []


def said_safe(scenario, warning=""):
    need(scenario.status == 0, "status", None, f"it ended with status {scenario.status}: {scenario.stderr!r}")
    need(scenario.stdout.endswith("\nsafe\n"), "message", None, f"it does not say `safe`: {scenario.stdout!r}")
    as_it_should = warning in scenario.stderr if warning else not scenario.stderr
    need(as_it_should, "message", None, f"it says {scenario.stderr!r}")
    took = scenario.end.ns - scenario.begin.ns
    # It is looked at after 600 ms.
    need(took <= 1000 * MS, "time", scenario.end, f"it took {took / MS:.1f} ms")


def safe_axes(scenario, _plan, warning=""):
    said_safe(scenario, warning)
    rules.ended(scenario, 0)
    need(not scenario.pwm[1], "pins", scenario.end, "it touches a channel that is not in its config")
    for step, direction in (AXES["x"], AXES["z"]):
        rules.ends_at(scenario, step, False)
        rules.untouched(scenario, direction, "dir")
    rules.ends_at(scenario, SHARED_ENABLE, True)
    rules.untouched(scenario, LOAD_ENABLE, "hold")
    for pin in (19, 20, 21):  # those of the edited file
        rules.untouched(scenario, pin, "pins")
    accepted = "config: /run/lockstep/accepted.toml, accepted from /" in scenario.stdout
    wanted = scenario.name != "safe-no-copy"
    need(accepted == wanted, "message", None, f"it reads the wrong config: {scenario.stdout!r}")
    return []


def safe_axes_on(scenario, plan):
    need(scenario.was_on[0], "hazard", scenario.begin, "the signal did not stay")
    return safe_axes(scenario, plan)


def safe_upgraded(scenario, plan):
    """What release 0.1 was driving is safe, by a config that this release refuses."""
    need(scenario.was_on[0], "hazard", scenario.begin, "the signal did not stay")
    return safe_axes(scenario, plan, "accepted.toml is not for this release: its pins, levels and loads count")


def safe_again(scenario, plan):
    need(not scenario.pwm[0], "end", scenario.end, "it writes to a channel that is safe")
    return safe_axes(scenario, plan)


def safe_servos(scenario, _plan):
    said_safe(scenario)
    rules.ended(scenario, 0)
    rules.ended(scenario, 1)
    need(not scenario.levels, "pins", scenario.begin, "a servo's config writes outputs")
    return []


def safe_servos_on(scenario, plan):
    need(scenario.was_on == {0: True, 1: True}, "hazard", scenario.begin, "the signals did not stay")
    return safe_servos(scenario, plan)


def coils(scenario, _plan):
    need(scenario.status == 0, "status", None, f"it ended with status {scenario.status}")
    rules.outputs_stay(scenario, set(COILS))
    signs = rules.coils(scenario, COILS, COIL_STEP_NS)
    rules.runs("dial", signs, [102, -153], scenario)
    rules.counts(scenario, "dial", signs)
    return []


def killed_coils(scenario, _plan):
    need(scenario.status == 128 + 9, "status", None, f"it ended with status {scenario.status}")
    on = [pin for pin in COILS if any(level.high for level in scenario.of_pin(pin)[-1:])]
    need(on, "hazard", scenario.end, "no coil is on after SIGKILL")
    return []


def safe_coils(scenario, _plan):
    said_safe(scenario)
    need(any(scenario.latches[pin] for pin in COILS), "hazard", scenario.begin, "the coils did not stay on")
    for pin in COILS:
        rules.ends_at(scenario, pin, False)
    return []


def clock(scenario, _plan):
    need(scenario.status == 0, "status", None, f"it ended with status {scenario.status}: {scenario.stderr!r}")
    signs = clock_bursts(scenario)
    rules.runs("table", signs, [100, -150, 50], scenario)
    return []


def clock_stopped(scenario, _plan):
    need(scenario.status == 0, "status", None, f"it ended with status {scenario.status}")
    clock_bursts(scenario)
    return []


def clock_panicked(scenario, _plan):
    need(scenario.status == 1, "status", None, f"it ended with status {scenario.status}, not 1")
    clock_bursts(scenario, counted=False)
    # Nobody has looked at the clock at the end of its last burst.
    place = scenario.report()["motors"]["table"]["place"]
    need(place == "unverified", "report", None, f"the place of table is `{place}`")
    return []


def clock_bursts(scenario, counted=True):
    """The sign of each step of guest/clock.toml, when its bursts are as they have to be."""
    rules.outputs_stay(scenario, {CLOCK_DIR, CLOCK_ENABLE})
    steps, signs = step_clock.bursts(scenario, 0, CLOCK_DIR, CLOCK)
    if counted:
        rules.counts(scenario, "table", signs)
    rules.lets_go(scenario, CLOCK_ENABLE, steps)
    return signs


def safe_clock(scenario, _plan):
    said_safe(scenario)
    rules.ended(scenario, 0, period=None)
    rules.untouched(scenario, CLOCK_DIR, "dir")
    rules.ends_at(scenario, CLOCK_ENABLE, True)
    return []


def selftest(scenario, _plan):
    need(scenario.status == 0, "status", None, f"it ended with status {scenario.status}: {scenario.stderr!r}")
    for name in ("x", "y"):
        edges, _ = rules.steps(scenario, *AXES[name], needs_direction=False)
        told = sum(
            finding["seen"]["count"]
            for finding in scenario.report()["findings"]
            if (finding["motor"], finding["function"]) == (name, "step")
        )
        need(len(edges) == told == 1100, "count", scenario.end, f"{name} says {told} pulses, {len(edges)} came out")
        for edge in edges:
            before = [level for level in scenario.of_pin(SHARED_ENABLE) if level.line < edge.line]
            need(before and before[-1].high, "enable", edge, "a step while the driver has power")
    for pin in (*AXES["z"], LOAD_ENABLE):
        rules.untouched(scenario, pin, "hold")
    return []


def after_killed(scenario, _plan):
    need(scenario.status == 3, "status", None, f"it ended with status {scenario.status}, not 3")
    for part in ("GPIO1", "in use", "left running by one that died", "then run `lockstep safe`"):
        need(part in scenario.stderr, "message", None, f"the error does not say `{part}`: {scenario.stderr!r}")
    need(scenario.was_on == {0: True, 1: True}, "hazard", scenario.begin, "the signals did not stay")
    need(not scenario.touched(), "pins", scenario.end, "it changes what another program has left")
    return []


JUDGES = {
    "servos": servos,
    "axes": axes,
    "axes-load-off": axes,
    "no-overlay": no_overlay,
    "killed": killed,
    "after-killed": after_killed,
    "safe-servos": safe_servos_on,
    "safe-no-copy": safe_axes_on,
    "killed-both": killed,
    "safe-one-exported": safe_servos,
    "safe-nothing-set": safe_servos,
    "safe-never-enabled": safe_servos,
    "coils": coils,
    "killed-coils": killed_coils,
    "safe-coils": safe_coils,
    "clock": clock,
    "clock-panic": clock_panicked,
    "rover": rover,
    "rover-panic": rover_panicked,
    "selftest": selftest,
    "safe-hung": safe_axes,
}
# Those of a kind, by the begin of their names.
KINDS = [
    (r"signals?-", interrupted),
    (r"panic-", panicked),
    (r"hang-", hung),
    (r"clock-", clock_stopped),
    (r"rover-", rover_stopped),
    (r"killed-clock-", killed_clock),
    (r"safe-clock-", safe_clock),
    (r"killed-", killed_axes),
    (r"safe-", safe_axes_on),
    (r"again-safe-", safe_again),
    (r"upgraded-safe-", safe_upgraded),
]


def judge_of(name):
    return JUDGES.get(name) or next((judge for kind, judge in KINDS if re.match(kind, name)), None)


def merged(parts):
    """Moves in one direction, one after another, are one run."""
    found = []
    for part in filter(None, parts):
        if found and (found[-1] > 0) == (part > 0):
            found[-1] += part
        else:
            found.append(part)
    return found


def split(edges):
    """The edges of each axis, move by move; an axis that does not move is left out."""
    moves, done = [], dict.fromkeys(edges, 0)
    for move in TOUR:
        parts = []
        for name, count in zip("xyz", map(abs, move)):
            if count:
                parts.append(edges[name][done[name] : done[name] + count])
                done[name] += count
        moves.append(parts)
    return moves


def share(sorted_ns, percent):
    """A percentile, in microseconds."""
    return round(sorted_ns[min(len(sorted_ns) * percent // 100, len(sorted_ns) - 1)] / 1000, 3)


def start_figure(scenario, first_ns):
    return Figure(scenario.name, "start to first edge", round((first_ns - scenario.begin.ns) / MS, 2), "ms")


def memory_figures(scenario):
    found = dict(re.findall(r"^(\w+):\s*(\d+)", scenario.seen, re.MULTILINE))
    need({"VmRSS", "VmHWM", "Threads"} <= found.keys(), "console", None, "memory and threads were not seen")
    return [
        Figure(scenario.name, "RSS", int(found["VmRSS"]), "kB"),
        Figure(scenario.name, "RSS at most", int(found["VmHWM"]), "kB"),
        Figure(scenario.name, "threads", int(found["Threads"]), ""),
    ]


def expected_names(scenarios_file):
    """The names in guest/scenarios, as patterns: a scenario that did not run is a failure, too."""
    with open(scenarios_file, encoding="ascii") as file:
        text = file.read()
    names = re.findall(r'^\s*(?:scenario|interrupted|faulty) "?([^"\s]+)', text, re.MULTILINE)
    for name in re.findall(r'^\s*killed "?([^"\s]+)', text, re.MULTILINE):
        names += [kind + name for kind in ("killed-", "safe-", "again-safe-")]
    return [re.sub(r"\\\$\w+", r"\\w+", re.escape(name)) for name in names]


def judge(lines, console, plan, only=None):
    """Judges all scenarios, or only one. Returns (name, figures) of each and (name, Wrong) of those wrong."""
    scenarios = read_console(console)
    play(read_log(lines), scenarios, only)
    good, bad = [], []
    for scenario in scenarios.values():
        if only and scenario.name != only:
            continue
        try:
            need(scenario.begin and scenario.end, "log", None, "its marks are missing from the log")
            its_judge = judge_of(scenario.name)
            need(its_judge, "console", None, "nobody judges a scenario of this name")
            good.append((scenario.name, its_judge(scenario, plan)))
        except Wrong as wrong:
            bad.append((scenario.name, wrong))
    return good, bad


def main():
    log_name, console_name, plan_name, figures_name, *page_name = sys.argv[1:]
    with open(log_name, encoding="ascii") as file:
        lines = file.read().splitlines()
    with open(console_name, encoding="utf-8", errors="replace") as file:
        console = file.read()
    with open(plan_name, encoding="utf-8") as file:
        plan = read_plan(file)
    good, bad = judge(lines, console, plan)
    names = [name for name, _ in good + bad]
    for pattern in expected_names(sys.path[0] + "/guest/scenarios"):
        if not any(re.fullmatch(pattern, name) for name in names):
            sys.exit(f"virtual-pi: no scenario {pattern} has run")
    for name, wrong in bad:
        print(f"virtual-pi: {name}: {log_name}:{wrong.line}: [{wrong.rule}] {wrong.text}", file=sys.stderr)
    if bad:
        sys.exit(1)
    stops, measured = [], []
    for name, told in good:
        stops += [figure[1] for figure in told if isinstance(figure, tuple)]
        its_figures = [figure for figure in told if isinstance(figure, Figure)]
        measured += its_figures
        if its_figures:
            print(f"   {name}: {'; '.join(f'{f.name} {f.text()}' for f in its_figures)}")
    need(len(stops) >= 30, "console", None, "most of the signals came before the program had opened anything")
    print(f"   {len(good)} scenarios, {len(stops)} of them stopped by signals, within {max(stops) / MS:.0f} ms")

    missed = 0
    for change in broken.CHANGES:
        changed, its_console = change.make(list(lines), console)
        _, found = judge(changed, its_console, plan, change.scenario)
        caught = [wrong.rule for _, wrong in found]
        if caught != [change.rule]:
            missed += 1
            print(f"virtual-pi: {change.name}: caught by {caught}, not by [{change.rule}]", file=sys.stderr)
    if missed:
        sys.exit(f"virtual-pi: the judge overlooked {missed} of {len(broken.CHANGES)} changes of the log")
    print(f"   and the judge caught {len(broken.CHANGES)} logs with one thing wrong in each")
    if page_name:
        made = {"date": str(datetime.date.today()), **dict(p.split("=", 1) for p in os.environ["made"].split(";"))}
        figures.accept(measured, made, figures_name, page_name[0])
        print(f"   its figures are now those in {figures_name} and {page_name[0]}")
        return
    grown = figures.grown(measured, figures.read(figures_name))
    for line in grown:
        print(f"virtual-pi: figure: {line}", file=sys.stderr)
    if grown:
        sys.exit("virtual-pi: figures have grown by more than 5 %: see docs/performance.md for what to do")
    print(f"   none of {len(measured)} figures has grown by more than 5 %")


if __name__ == "__main__":
    try:
        main()
    except Wrong as wrong:
        sys.exit(f"virtual-pi: {sys.argv[1]}:{wrong.line}: [{wrong.rule}] {wrong.text}")
