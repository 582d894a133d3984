"""Boots of the service that are wrong in one place each, made from a good one: what its judge has to notice."""

import re

from broken import MS, Change

CHANGES = []


def change(scenario, rule):
    def add(edit):
        CHANGES.append(Change(edit.__name__.replace("_", " "), scenario, rule, edit))
        return edit

    return add


def missed(boot, judge):
    """A line for each change that the judge does not catch by the rule that it is meant for."""
    lines, console = boot
    found = []
    for one in CHANGES:
        changed, its_console = one.make(list(lines), console)
        _, bad = judge(changed, its_console, one.scenario)
        caught = [wrong.rule for _, wrong in bad]
        if caught != [one.rule]:
            found.append(f"{one.name}: caught by {caught}, not by [{one.rule}]")
    return found


# The marks of a scenario's moments; STEP of x on GPIO17, its enable line on 22, the load's on 26.
MOMENT = "DMAC 0x4c53"
STEP = "GPSET0 0x00020000"


def moment(part, number):
    at = -1
    for _ in range(number + 1):
        at = part.first(MOMENT, at + 1)
    return at


def insert(part, at, store):
    part.lines.insert(at, re.sub(r"(GPIO|PWM) .*", store, part.lines[at]))


@change("boot", "start")
def a_signal_before_the_first_move(part):
    insert(part, 1, "PWM CTL 0x00008081")


@change("boot", "order")
def a_start_before_the_devices(part):
    part.say(r"pwm=\d+", "pwm=99000000")


@change("boot", "user")
def it_runs_as_root(part):
    part.say(r"Uid=\d+ \d+ \d+ \d+", "Uid=0 0 0 0")


@change("boot", "user")
def it_keeps_a_capability(part):
    part.say(r"CapEff=0+", "CapEff=0000000000800000")


@change("boot", "seen")
def a_stranger_is_heard(part):
    part.say("stranger=3", "stranger=0")


@change("boot", "end")
def a_stop_cuts_a_pulse(part):
    stopped = moment(part, 1)
    part.lines = [line for i, line in enumerate(part.lines) if i < stopped or "DAT1 0x00000000" not in line]


@change("boot", "hold")
def a_stop_drops_the_load(part):
    insert(part, len(part.lines) - 1, "GPIO GPSET0 0x04000000")


@change("boot", "enable")
def a_stop_leaves_the_driver_on(part):
    stopped = moment(part, 1)
    part.lines = [line for i, line in enumerate(part.lines) if i < stopped or "GPSET0 0x00400000" not in line]


@change("boot", "count")
def a_step_is_lost_on_the_way(part):
    up = part.first(STEP)
    del part.lines[up : up + 2]


@change("reload", "seen")
def a_wrong_config_is_taken(part):
    part.say("wrong-reload=1", "wrong-reload=0")


@change("reload", "seen")
def a_reload_that_starts_it_again(part):
    part.say("NRestarts=0", "NRestarts=1")


@change("reload", "end")
def a_reload_cuts_the_signal(part):
    insert(part, moment(part, 0) + 1, "PWM CTL 0x00008080")


@change("kill", "end")
def safe_is_not_run(part):
    killed, cleared = moment(part, 0), moment(part, 1)
    part.lines = [line for i, line in enumerate(part.lines) if not (killed < i < cleared and "PWM" in line)]


@change("kill", "rest")
def it_moves_before_clear(part):
    cleared = moment(part, 1)
    insert(part, cleared, "GPIO GPCLR0 0x00020000")
    insert(part, cleared, "GPIO GPSET0 0x00020000")
    insert(part, cleared, "GPIO GPCLR0 0x00400000")
    for at in range(3):
        part.set_time(cleared + at, part.time(cleared + 3) - (3 - at) * MS)
    insert(part, cleared + 3, "GPIO GPSET0 0x00400000")


@change("kill", "seen")
def it_does_not_come_back(part):
    part.say("restarted=0", "restarted=1")


@change("kill", "seen")
def a_move_that_is_not_refused(part):
    part.say("refused=1", "refused=0")


@change("hang", "time")
def a_watchdog_that_takes_long(part):
    started = moment(part, 0)
    for at in range(started + 1):
        part.set_time(at, part.time(at) - 8_000 * MS)


@change("hang-at-rest", "journal")
def a_watchdog_that_does_not_bark(part):
    part.say("Watchdog timeout", "Nothing")


@change("panic-pan", "end")
def a_panic_cuts_the_servo(part):
    started, cleared = moment(part, 0), moment(part, 1)
    part.lines = [
        line for i, line in enumerate(part.lines) if not (started < i < cleared and "DAT1 0x00000000" in line)
    ]


@change("no-config", "seen")
def no_config_is_a_failure(part):
    part.say("ActiveState=inactive", "ActiveState=failed")


@change("bad-config", "seen")
def a_wrong_config_is_tried_again(part):
    part.say("NRestarts=0", "NRestarts=3")


@change("bad-config", "journal")
def a_wrong_config_without_its_place(part):
    part.say(r"lockstep\.toml:\d+", "lockstep.toml")


@change("other-hardware", "journal")
def missing_hardware_is_tried_for_ever(part):
    part.say("Start request repeated too quickly", "Scheduled restart job")


@change("after", "count")
def a_move_that_is_another(part):
    up = part.first(STEP)
    del part.lines[up : up + 2]
