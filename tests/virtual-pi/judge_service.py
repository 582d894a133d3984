#!/usr/bin/env python3
"""Judges the boot service on the virtual Pi: what reached the registers, what systemd and the journal said.

    judge_service.py RESULTS

RESULTS has a folder `install` and a folder `service`, each with the register log and the console of a boot. Ends with
status 1 and one line for each scenario that went wrong. When all is right, it shows that it would have noticed:
broken_service.py changes what it reads in one place at a time.
"""

import dataclasses
import json
import re
import sys

import broken_service
import rules
from registers import Wrong, play, read_console, read_log
from rules import MS, need

X, Z = (17, 27), (25, 16)
X_ENABLE, LOAD_ENABLE = 22, 26
# 400 steps are a millimetre.
MM = 400
# How long after the kill, the abort or the order to stop the last signal may end: systemd, `lockstep safe`, and
# three periods of a servo.
SAFE_WITHIN_NS = 1_000 * MS
# From the move to the watchdog: it was fed up to a quarter of its 5 s before the fault, which came 0.7 s after the
# move, or just then; and an abort may take 3 s.
WATCHDOG_NS = (4_000 * MS, 9_500 * MS)


def notes(scenario):
    return dict(line.rpartition("=")[::2] for line in scenario.seen.splitlines())


def noted(scenario, **wanted):
    found = notes(scenario)
    for name, value in wanted.items():
        name = name.replace("_", "-")
        need(found.get(name) == value, "seen", None, f"{name} is {found.get(name)!r}, not {value!r}: {scenario.stdout}")


def said(scenario, *words):
    for word in words:
        need(word in scenario.stderr, "journal", None, f"the journal does not say `{word}`: {scenario.stderr}")


def part(scenario, first, last):
    """What lies between two lines of the log, as a scenario of its own."""
    inside = lambda event: first.line < event.line < last.line
    latches, was_on = dict(scenario.latches), dict(scenario.was_on)
    for level in scenario.levels:
        if level.line <= first.line:
            latches[level.pin] = level.high
    for channel, states in scenario.pwm.items():
        for state in states:
            if state.line <= first.line:
                was_on[channel] = state.on
    return dataclasses.replace(
        scenario,
        begin=first,
        end=last,
        latches=latches,
        was_on=was_on,
        levels=list(filter(inside, scenario.levels)),
        functions=list(filter(inside, scenario.functions)),
        pwm={channel: list(filter(inside, states)) for channel, states in scenario.pwm.items()},
    )


def machine(scenario):
    """The rules that hold for a service from its start to its end, whatever ends it, and for the one after it."""
    rules.signal(scenario, 0, 10_000, 20_000)
    rules.outputs_stay(scenario, {*X, *Z, X_ENABLE, LOAD_ENABLE})
    rules.lets_go(scenario, X_ENABLE, rules.steps(scenario, *X)[0])
    rules.holds(scenario, LOAD_ENABLE, rules.steps(scenario, *Z)[0])


def at_rest(scenario):
    """Nothing moves: no signal, no step, the driver off, the load held."""
    for channel in (0, 1):
        need(not scenario.was_on[channel], "rest", scenario.begin, f"channel {channel} is on")
        for state in scenario.pwm[channel]:
            need(not state.on, "rest", state, f"channel {channel} is switched on")
    for step, _ in (X, Z):
        for level in scenario.of_pin(step):
            need(not level.high, "rest", level, f"a step of GPIO{step}")
    for level in scenario.of_pin(X_ENABLE):
        need(level.high, "rest", level, f"GPIO{X_ENABLE} is made active")
    for level in scenario.of_pin(LOAD_ENABLE):
        need(not level.high, "hold", level, f"GPIO{LOAD_ENABLE} goes inactive: the load falls")


def net(scenario, pins, first=None, last=None):
    """How far an axis went between two lines of the log, in steps."""
    first, last = first or scenario.begin, last or scenario.end
    edges, signs = rules.steps(scenario, *pins)
    return sum(sign for edge, sign in zip(edges, signs) if first.line < edge.line < last.line)


def last_edge(scenario):
    """The last event of a signal that was there: an edge of a step, or the servo's end."""
    states = scenario.pwm[0]
    ends = [after for state, after in zip(states, states[1:]) if state.on and not after.on]
    steps = [level for pin in (X[0], Z[0]) for level in scenario.of_pin(pin) if level.high != level.before]
    need(ends or steps, "log", scenario.end, "there was no signal at all")
    return max([*ends, *steps], key=lambda event: event.line)


def boot(scenario):
    noted(scenario, active="0", NRestarts="0", status="0", stranger="3", pan="0", move="0", long="0", stop="0")
    noted(scenario, ActiveState="inactive", Result="success")
    found = notes(scenario)
    # It waited for its devices, and began when they were there.
    times = {name: int(found[name]) for name in ("gpiomem", "gpiochip", "pwm")}
    began, ready = (int(found[f"{name}TimestampMonotonic"]) for name in ("ExecMainStart", "ActiveEnter"))
    for name, at in times.items():
        need(0 < at <= began, "order", None, f"the service began at {began} us, and {name} came at {at} us")
    last = max(times.values())
    need(times["pwm"] - times["gpiochip"] >= 1_000_000, "order", None, "the PWM did not come late")
    need(began - last <= 500_000, "order", None, f"the service began {began - last} us after its last device")
    # As its own user, without any right beyond that.
    need(found["Uid"].split()[0] not in ("", "0") and len(set(found["Uid"].split())) == 1, "user", None, found["Uid"])
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        need(int(found[name], 16) == 0, "user", None, f"{name} is {found[name]}")
    need(found["NoNewPrivs"] == "1" and found["Seccomp"] == "2", "user", None, str(found))
    for motor in ("pan", "x", "z"):
        need(f"{motor}:SCHED_FIFO" in found["scheduling"], "user", None, f"not in real time: {found['scheduling']}")
    # The client's moves are what came out.
    machine(scenario)
    need(len(scenario.signals) == 2, "log", scenario.begin, "its moments left no marks")
    done, stopping = scenario.signals
    moved = tuple(net(scenario, pins, last=done) for pins in (X, Z))
    need(moved == (2 * MM, MM), "count", done, f"x and z made {moved} steps in their first move")
    after = part(scenario, stopping, scenario.end)
    need(net(scenario, X, done, stopping) > MM, "count", stopping, "nothing moved when it was stopped")
    need(net(scenario, X) < 19 * MM, "count", scenario.end, "the stop came after the move")
    took = last_edge(after).ns - stopping.ns
    need(took <= SAFE_WITHIN_NS, "time", scenario.end, f"the last edge came {took / MS:.0f} ms after the order to stop")
    return [("from the last device to READY", (ready - last) / 1000), ("from stop to rest", took / MS)]


def reload(scenario):
    """A good config holds from then on, a wrong one is refused, and the signal of the servo never stops."""
    noted(scenario, start="0", pan="0", before="0", reload="0", move="0", wrong_reload="1", after="0", stop="0")
    noted(scenario, ActiveState="active", NRestarts="0")
    said(scenario, "/etc/lockstep/lockstep.toml:17:", "the old one stays")
    machine(scenario)
    ends = [state for state in scenario.pwm[0] if not state.on and state.width == 0]
    good, wrong = scenario.signals
    on = [state.on for state in part(scenario, good, wrong).pwm[0]]
    need(part(scenario, good, wrong).was_on[0] and all(on), "signal", good, "the reload ends the servo's signal")
    need(ends and ends[-1].line > wrong.line, "signal", wrong, "the signal ends before the service does")
    # At 10 mm/s before, at 5 mm/s since: that shows in the shortest time between two steps.
    edges, signs = rules.steps(scenario, *X)
    need((sum(signs), len(signs)) == (0, 8 * MM), "count", scenario.end, f"x made {len(signs)} steps")
    for name, speed, first, last in (("before", 10, scenario.begin, good), ("after", 5, good, scenario.end)):
        inside = [edge.ns for edge in edges if first.line < edge.line < last.line]
        gaps = sorted(b - a for a, b in zip(inside, inside[1:]))
        typical = gaps[len(gaps) // 2]
        wanted = 1e9 / (speed * MM)
        need(abs(typical / wanted - 1) < 0.05, "speed", last, f"{name} it steps every {typical} ns, not every {wanted:.0f}")
    return []


def ended_uncleanly(scenario):
    """Whatever ended the service: safe, started again, at rest until a person said `clear`, and then it moves."""
    noted(scenario, start="0", long="0", restarted="0", ActiveState="inactive", Result="success")
    noted(scenario, refused="1", status="0", clear="0", after="0")
    need('"state":"fault"' in scenario.stdout.replace(" ", ""), "seen", None, f"no fault: {scenario.stdout}")
    said(scenario, "nothing moves until `lockstep clear`")
    wrong, cleared = scenario.signals
    first = part(scenario, scenario.begin, cleared)
    machine(scenario)
    need(net(scenario, X, first=cleared) == MM, "count", scenario.end, "the move after `clear` is another")
    # From the last edge to the clearing.
    ends = last_edge(first)
    at_rest(part(scenario, ends, cleared))
    need(cleared.ns - ends.ns >= 1_500 * MS, "rest", cleared, "there was no time in which it could have moved")
    return wrong, first, ends


def kill(scenario):
    wrong, first, ends = ended_uncleanly(scenario)
    need(net(scenario, X, last=wrong) > MM, "count", wrong, "nothing moved when it was killed")
    for pin in (X[0], Z[0]):
        late = [level for level in part(scenario, wrong, ends).of_pin(pin) if level.high]
        need(not late or late[-1].ns - wrong.ns < 20 * MS, "rest", wrong, "a step after SIGKILL")
    took = ends.ns - wrong.ns
    need(took <= SAFE_WITHIN_NS, "time", ends, f"the signals ended {took / MS:.0f} ms after SIGKILL")
    return [("from SIGKILL to safe", took / MS)]


def starved(scenario):
    """The watchdog has ended it: the others had come to rest, and one fault was named."""
    wrong, first, ends = ended_uncleanly(scenario)
    said(scenario, "Watchdog timeout", "all motors come to rest, and the watchdog is not fed any more")
    motor = "pan" if scenario.name.endswith("pan") else "x"
    said(scenario, f"the loop of {motor} has died")
    took = ends.ns - wrong.ns
    shortest, longest = WATCHDOG_NS
    if scenario.name == "hang-at-rest":
        longest += 4_000 * MS
    elif motor == "pan":
        # It is its own signal, which ends with it; and the others are at rest long before the watchdog comes.
        shortest, longest = 300 * MS, 2_000 * MS
    need(shortest <= took <= longest, "time", ends, f"the signals ended {took / MS:.0f} ms after the move began")
    # The axes come to rest long before that.
    z = [level for level in first.of_pin(Z[0]) if level.high][-1]
    rested = z.ns - wrong.ns
    need(rested <= 4_500 * MS, "time", z, f"z still stepped {rested / MS:.0f} ms after the move began")
    return [("from the move to safe", took / MS)]


def no_config(scenario):
    noted(scenario, start="0", ActiveState="inactive", Result="success", ConditionResult="no")
    need(not scenario.touched(), "pins", scenario.end, "it touches pins without a config")
    return []


def bad_config(scenario):
    noted(scenario, start="1", ActiveState="failed", Result="exit-code", ExecMainStatus="2", NRestarts="0")
    places = re.findall(r"/etc/lockstep/lockstep\.toml:\d+:\d+: error: .*drv8826", scenario.stderr)
    need(len(places) == 1, "journal", None, f"it is said {len(places)} times: {scenario.stderr}")
    at_rest(scenario)
    return []


def other_hardware(scenario):
    noted(scenario, start="1", ActiveState="failed", ExecMainStatus="3", status="4")
    restarts = int(notes(scenario)["NRestarts"])
    need(1 <= restarts <= 3, "seen", None, f"it was started again {restarts} times")
    said(scenario, "pca9685", "Start request repeated too quickly")
    at_rest(scenario)
    return []


def afterwards(scenario):
    noted(scenario, start="0", move="0", ActiveState="inactive", Result="success")
    machine(scenario)
    need(net(scenario, X) == MM, "count", scenario.end, "the move is another")
    return []


def commands(scenario):
    """A section of the page on installation: every command ends well."""
    found = notes(scenario)
    need(found, "seen", None, "no command was carried out")
    for command, status in found.items():
        need(status == "0", "command", None, f"`{command}` ends with status {status}: {scenario.stdout}")
    return []


def tried_by_hand(scenario):
    commands(scenario)
    need("nothing must be done" in scenario.stdout, "command", None, f"the doctor says: {scenario.stdout}")
    rules.signal(scenario, 0, 10_000, 20_000)
    need(scenario.pwm[0], "command", scenario.end, "`lockstep run` made no signal")
    return []


JUDGES = {
    "boot": boot,
    "reload": reload,
    "kill": kill,
    "hang": starved,
    "hang-at-rest": starved,
    "panic-x": starved,
    "panic-pan": starved,
    "no-config": no_config,
    "bad-config": bad_config,
    "other-hardware": other_hardware,
    "after": afterwards,
    "install:the-program-and-its-service/from-source": commands,
    "install:you": commands,
    "install:a-config": commands,
    "install:the-machine": tried_by_hand,
    "install:start-it": commands,
    "install:remove": commands,
}


def judge(lines, console, only=None):
    """Judges all scenarios of a boot, or one. Returns (name, figures) of each and (name, Wrong) of those wrong."""
    scenarios = read_console(console)
    play(read_log(lines), scenarios, only)
    good, bad = [], []
    for scenario in scenarios.values():
        if only and scenario.name != only:
            continue
        try:
            need(scenario.begin and scenario.end, "log", None, "its marks are missing from the log")
            need(scenario.name in JUDGES, "console", None, "nobody judges a scenario of this name")
            good.append((scenario.name, JUDGES[scenario.name](scenario)))
        except Wrong as wrong:
            bad.append((scenario.name, wrong))
    return good, bad


def main():
    results = sys.argv[1]
    boots = {}
    for name in ("install", "service"):
        with open(f"{results}/{name}/registers.log", encoding="ascii") as file:
            lines = file.read().splitlines()
        with open(f"{results}/{name}/console", encoding="utf-8", errors="replace") as file:
            boots[name] = (lines, file.read())
    ran, failed = [], False
    for name, (lines, console) in boots.items():
        good, bad = judge(lines, console)
        ran += [scenario for scenario, _ in good + bad]
        for scenario, wrong in bad:
            failed = True
            where = f"{results}/{name}/registers.log:{wrong.line}"
            print(f"virtual-pi: {scenario}: {where}: [{wrong.rule}] {wrong.text}", file=sys.stderr)
        for scenario, told in good:
            if told:
                print(f"   {scenario}: {'; '.join(f'{what} {ms:.0f} ms' for what, ms in told)}")
    missing = JUDGES.keys() - set(ran)
    if missing:
        sys.exit(f"virtual-pi: these scenarios have not run: {', '.join(sorted(missing))}")
    if failed:
        sys.exit(1)
    print(f"   {len(ran)} scenarios of the boot service")
    missed = broken_service.missed(boots["service"], judge)
    for line in missed:
        print(f"virtual-pi: {line}", file=sys.stderr)
    if missed:
        sys.exit(f"virtual-pi: the judge overlooked {len(missed)} of {len(broken_service.CHANGES)} changes")
    print(f"   and the judge caught {len(broken_service.CHANGES)} boots with one thing wrong in each")


if __name__ == "__main__":
    main()
