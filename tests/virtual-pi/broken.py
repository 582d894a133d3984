"""Logs that are wrong in one place each, made from a good one: what the judge has to notice."""

import re
from dataclasses import dataclass
from typing import Callable

from registers import NS_PER_TICK

US, MS = 1_000 // NS_PER_TICK, 1_000_000 // NS_PER_TICK


@dataclass
class Change:
    name: str
    scenario: str
    rule: str
    edit: Callable

    def make(self, lines, console):
        """The log and the console with this change."""
        number = int(re.search(rf"== begin (\d+) {self.scenario}\r?\n", console)[1])
        begin = find(lines, 0, rf"DMAC 0x4c43{number:04x}")
        end = find(lines, begin, rf"DMAC 0x4c45{number:04x}")
        part = Part(lines[begin : end + 1], console, number)
        self.edit(part)
        return lines[:begin] + part.lines + lines[end + 1 :], part.console


class Part:
    """The lines of one scenario."""

    def __init__(self, lines, console, number):
        self.lines, self.console, self.number = lines, console, number

    def first(self, pattern, after=0):
        return find(self.lines, after, pattern)

    def last(self, pattern):
        return max(i for i, line in enumerate(self.lines) if re.search(pattern, line))

    def move(self, old, new):
        self.lines.insert(new if new < old else new - 1, self.lines.pop(old))

    def replace(self, at, pattern, text):
        changed = re.sub(pattern, text, self.lines[at])
        assert changed != self.lines[at], (pattern, self.lines[at])
        self.lines[at] = changed

    def time(self, at):
        return int(self.lines[at].split(" ", 1)[0])

    def set_time(self, at, ticks):
        self.lines[at] = f"{ticks} " + self.lines[at].split(" ", 1)[1]

    def say(self, pattern, text):
        """Changes what the program said."""
        begin = self.console.index(f"== begin {self.number} ")
        end = self.console.index(f"== end {self.number} ") + len(f"== end {self.number} status=0")
        part, changes = re.subn(pattern, text, self.console[begin:end], count=1)
        assert changes == 1, pattern
        self.console = self.console[:begin] + part + self.console[end:]


def find(lines, after, pattern):
    for at in range(after, len(lines)):
        if re.search(pattern, lines[at]):
            return at
    raise AssertionError(f"no line like {pattern}")


CHANGES = []


def change(scenario, rule):
    def add(edit):
        CHANGES.append(Change(edit.__name__.replace("_", " "), scenario, rule, edit))
        return edit

    return add


# ---- servos: channel 0 is GPIO18


@change("servos", "start")
def enabled_before_there_is_a_width(part):
    width = part.first("DAT1 0x00002710")
    part.replace(width, "0x00002710", "0x00000000")
    part.replace(part.first("DAT1 0x00002710", width), "0x00002710", "0x00000000")


@change("servos", "start")
def enabled_before_there_is_a_period(part):
    enabled = part.first("CTL 0x0000..[0-9a-f]1")
    part.lines = [line for i, line in enumerate(part.lines) if i > enabled or "RNG1" not in line]
    part.lines.insert(1, re.sub("DMAC.*", "RNG1 0x00000000", part.lines[0]))


@change("servos", "start")
def enabled_with_another_period(part):
    for at, line in enumerate(part.lines):
        if "RNG1" in line:
            part.replace(at, "0x[0-9a-f]+", "0x00030d41")


@change("servos", "width")
def the_period_changes_while_it_runs(part):
    late = [i for i, line in enumerate(part.lines) if "RNG1" in line][-5]
    part.replace(late, "0x[0-9a-f]+", "0x00030d3f")


@change("servos", "width")
def a_pulse_longer_than_allowed(part):
    part.replace(part.first("DAT1 0x00004e20"), "0x00004e20", "0x00004e21")


@change("servos", "end")
def disabled_without_width_0(part):
    enabled = part.first("CTL 0x0000..[0-9a-f]1")
    part.lines = [
        line for i, line in enumerate(part.lines) if i < enabled or not re.search("DAT1 0x00000000", line)
    ]


@change("servos", "end")
def disabled_before_a_period_has_passed(part):
    emptied = part.first("DAT1 0x00000000", part.first("CTL 0x0000..[0-9a-f]1"))
    off = part.first("CTL 0x0000..[0-9a-f]0", emptied)
    part.set_time(off, part.time(emptied) + 20 * MS - 100)


@change("servos", "end")
def left_on(part):
    while re.search("CTL 0x0000..[0-9a-f]0", part.lines[last := part.last("CTL")]):
        del part.lines[last]


@change("servos", "path")
def a_target_is_missed_by_a_hair(part):
    for at, line in enumerate(part.lines):
        if "DAT1 0x00002ee0" in line:
            part.replace(at, "0x00002ee0", "0x00002edf")


@change("servos", "path")
def one_width_beside_the_way(part):
    at = part.first("DAT1 0x00004e20")
    part.replace(part.first("DAT1", at + 1), "0x[0-9a-f]+", "0x00002710")


@change("servos", "time")
def the_second_half_comes_late(part):
    half = part.first("DAT1 0x00004e20")
    for at in range(half, len(part.lines)):
        part.set_time(at, part.time(at) + 60 * MS)


@change("servos", "pins")
def an_output_is_written(part):
    part.lines.insert(5, re.sub("PWM.*", "GPIO GPSET0 0x00000010", part.lines[5]))


@change("servos", "status")
def another_status(part):
    part.say(r"(== end \d+ status=)0", r"\g<1>1")


@change("servos", "board")
def another_board(part):
    part.say("Raspberry Pi 3 Model B", "Raspberry Pi 4 Model B")


# ---- axes: x has STEP on 17 and DIR on 27, y on 23 and 24, z on 25 and 16

X_UP, X_DOWN = "GPSET0 0x00020000", "GPCLR0 0x00020000"


@change("axes", "count")
def a_step_is_lost(part):
    at = part.first(X_UP)
    del part.lines[at : at + 2]


@change("axes", "pulse")
def a_pulse_without_an_end(part):
    del part.lines[part.first(X_DOWN, part.first(X_UP))]


@change("axes", "pulse")
def a_pulse_is_cut(part):
    up = part.last(X_UP)
    part.set_time(part.first(X_DOWN, up), part.time(up) + 1 * US)


@change("axes", "pulse")
def a_burst(part):
    down = part.first(X_DOWN, part.first(X_UP))
    part.set_time(part.first(X_UP, down), part.time(down) + 1 * US)


@change("axes", "dir")
def dir_after_step(part):
    turn = part.first("GPCLR0 0x08000000", part.first(X_UP))
    part.move(turn, part.first(X_DOWN, turn) + 1)


@change("axes", "dir")
def a_step_before_dir_is_settled(part):
    turn = part.first("GPCLR0 0x08000000", part.first(X_UP))
    part.set_time(turn, part.time(part.first(X_UP, turn)) - US // 2)


@change("axes", "enable")
def energised_from_the_first_write(part):
    part.replace(part.first("GPSET0 0x00400000"), "GPSET0", "GPCLR0")


@change("axes", "enable")
def never_let_go(part):
    del part.lines[part.last("GPSET0 0x00400000")]


@change("axes", "enable")
def let_go_between_steps(part):
    at = part.last(X_UP)
    part.lines.insert(at, re.sub("GPIO.*", "GPIO GPSET0 0x00400000", part.lines[at]))


@change("axes", "hold")
def the_load_is_let_go_at_the_end(part):
    part.lines.insert(-1, re.sub("PWM.*", "GPIO GPSET0 0x04000000", part.lines[-1]))


@change("axes-load-off", "hold")
def the_load_is_seized_at_the_start(part):
    part.replace(part.first("GPSET0 0x04000000"), "GPSET0", "GPCLR0")


@change("axes", "pins")
def a_pin_floats_at_the_end(part):
    functions = part.lines[part.last("GPFSEL1")]
    value = int(functions.split()[-1], 16) & ~(7 << 21)  # GPIO17
    part.lines.insert(-1, re.sub("0x.*", f"0x{value:08x}", functions))


@change("axes", "order")
def y_does_not_wait_for_x(part):
    # The first move of x has 400 steps.
    up = [i for i, line in enumerate(part.lines) if X_UP in line][399]
    y = part.time(part.first("GPSET0 0x00800000"))
    part.set_time(part.first(X_DOWN, up), y + 13 * US)
    part.set_time(up, y + 10 * US)


@change("axes", "line")
def y_leaves_the_line(part):
    # The steps of y in the second move are its 301st to 800th: half of them come up to 3 ms late.
    ups = [i for i, line in enumerate(part.lines) if "GPSET0 0x00800000" in line][400:600]
    for number, up in enumerate(ups):
        late = 30 * US * min(number, len(ups) - number)
        for at in (up, part.first("GPCLR0 0x00800000", up)):
            part.set_time(at, part.time(at) + late)


@change("axes", "late")
def a_step_comes_late(part):
    # In the last move, where each axis goes at its own best.
    up = [i for i, line in enumerate(part.lines) if X_UP in line][-1]
    for at in (up, part.first(X_DOWN, up)):
        part.set_time(at, part.time(at) + 2 * MS)


@change("axes", "count")
def a_count_that_is_not_true(part):
    part.say('"steps":600', '"steps":601')


# ---- signals


@change("signal-TERM-333", "end")
def a_signal_cuts_a_pulse(part):
    enabled = part.first("CTL 0x0000..[0-9a-f]1")
    part.lines = [
        line for i, line in enumerate(part.lines) if i < enabled or not re.search("DAT1 0x00000000", line)
    ]


@change("signal-INT-80", "end")
def a_signal_leaves_the_pwm_on(part):
    del part.lines[part.last("CTL")]


@change("signals-HUP-250", "pulse")
def a_second_signal_cuts_a_step(part):
    del part.lines[part.last(X_DOWN)]


@change("signal-HUP-130", "hold")
def a_signal_drops_the_load(part):
    part.lines.insert(-1, re.sub("PWM.*", "GPIO GPSET0 0x04000000", part.lines[-1]))


@change("signal-TERM-130", "time")
def a_stop_that_takes_long(part):
    part.set_time(-1, part.time(-1) + 600 * MS)


# ---- a motor's loop that panics


@change("panic-x-130", "end")
def a_panic_cuts_the_pulse_of_another(part):
    a_signal_cuts_a_pulse(part)


@change("panic-pan-130", "end")
def a_panic_leaves_the_pwm_on(part):
    del part.lines[part.last("CTL")]


@change("panic-x-205", "pulse")
def a_panic_leaves_step_high(part):
    del part.lines[part.last(X_DOWN)]


@change("panic-x-130", "enable")
def a_panic_leaves_the_driver_on(part):
    del part.lines[part.last("GPSET0 0x00400000")]


@change("panic-z-130", "hold")
def a_panic_drops_the_load(part):
    part.lines.insert(-1, re.sub("PWM.*", "GPIO GPSET0 0x04000000", part.lines[-1]))


@change("panic-z-130", "status")
def a_panic_that_ends_well(part):
    part.say(r"(== end \d+ status=)1", r"\g<1>0")


@change("panic-pan-333", "report")
def a_panic_that_is_not_told(part):
    part.say("loop panicked", "loop rested")


@change("panic-x-20", "count")
def a_panic_that_loses_a_step(part):
    up = part.first(X_UP)
    del part.lines[up : up + 2]


@change("hang-x-130", "end")
def a_hang_holds_a_servo(part):
    del part.lines[part.last("CTL")]


@change("hang-x-130", "message")
def a_hang_that_is_not_told(part):
    part.say("did not end: x", "did not end: y")


@change("safe-hung", "level")
def a_hung_driver_stays_on(part):
    part.lines = [line for line in part.lines if "GPSET0 0x00400000" not in line]


# ---- errors


@change("no-overlay", "start")
def a_signal_in_spite_of_the_error(part):
    part.lines.insert(1, re.sub("DMAC.*", "CTL 0x00008081", part.lines[0]))


@change("no-overlay", "status")
def an_error_that_ends_well(part):
    part.say(r"(== end \d+ status=)3", r"\g<1>0")


@change("no-overlay", "message")
def an_error_that_names_no_overlay(part):
    part.say("dtoverlay=pwm", "something")


@change("after-killed", "pins")
def a_signal_of_another_is_cut(part):
    part.lines.insert(1, re.sub("DMAC.*", "CTL 0x00008080", part.lines[0]))


# ---- `lockstep safe`, after SIGKILL


@change("killed-250", "hazard")
def a_kill_that_leaves_nothing_on(part):
    part.lines.insert(-1, re.sub("DMAC.*", "CTL 0x00008080", part.lines[-1]))


@change("safe-250", "end")
def safe_leaves_the_pwm_on(part):
    del part.lines[part.last("CTL")]


@change("safe-250", "end")
def safe_disables_before_the_width_is_0(part):
    # As rppal does when it opens a channel.
    part.lines.insert(1, re.sub("DMAC.*", "CTL 0x00008080", part.lines[0]))


@change("safe-250", "end")
def safe_disables_before_a_period_has_passed(part):
    emptied = part.first("DAT1 0x00000000")
    part.set_time(part.last("CTL"), part.time(emptied) + 20 * MS - 100)


@change("safe-one-exported", "end")
def safe_forgets_the_other_channel(part):
    part.lines = [line for line in part.lines if not re.search("DAT2|CTL", line)]


@change("safe-250", "hold")
def safe_drops_the_load(part):
    part.lines.insert(-1, re.sub("PWM.*", "GPIO GPSET0 0x04000000", part.lines[-1]))


@change("safe-250", "level")
def safe_leaves_a_driver_on(part):
    part.lines = [line for line in part.lines if "GPSET0 0x00400000" not in line]


@change("safe-250", "level")
def safe_makes_a_step(part):
    part.lines.insert(1, re.sub("PWM.*", "GPIO GPSET0 0x00020000", part.lines[0]))


@change("safe-250", "dir")
def safe_turns_a_direction(part):
    part.lines.insert(-1, re.sub("PWM.*", "GPIO GPSET0 0x08000000", part.lines[-1]))


@change("safe-edited", "pins")
def safe_goes_by_the_edited_file(part):
    part.lines.insert(-1, re.sub("PWM.*", "GPIO GPSET0 0x00200000", part.lines[-1]))


@change("safe-gone", "message")
def safe_reads_another_config(part):
    part.say("accepted from", "found as")


@change("upgraded-safe-250", "end")
def what_an_earlier_release_left_stays_on(part):
    del part.lines[part.last("CTL")]


@change("upgraded-safe-250", "level")
def the_driver_of_an_earlier_release_stays_on(part):
    part.lines = [line for line in part.lines if "GPSET0 0x00400000" not in line]


@change("upgraded-safe-250", "hold")
def the_load_of_an_earlier_release_falls(part):
    part.lines.insert(-1, re.sub("PWM.*", "GPIO GPSET0 0x04000000", part.lines[-1]))


@change("upgraded-safe-333", "message")
def a_config_of_another_release_is_not_told(part):
    part.say("is not for this release", "is as it should be")


@change("again-safe-250", "end")
def a_second_safe_pulses(part):
    part.lines.insert(1, re.sub("DMAC.*", "DAT1 0x00002710", part.lines[0]))


@change("safe-130", "status")
def safe_fails(part):
    part.say(r"(== end \d+ status=)0", r"\g<1>3")
