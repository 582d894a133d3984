"""More changes of a good log: coils, a step clock, the self-test."""

import re

from broken import MS, US, X_UP, change
from registers import NS_PER_TICK

# ---- coils: the first is GPIO5, the third GPIO13


@change("coils", "coils")
def opposite_coils_are_on(part):
    up = part.first("GPSET0 0x00000020")
    part.lines.insert(up + 1, re.sub("0x.*", "0x00002000", part.lines[up]))


@change("coils", "coils")
def a_coil_that_is_left_on(part):
    del part.lines[max(i for i, line in enumerate(part.lines) if re.search("GPCLR0 0x00[01]0[02]0[0246]0", line))]


@change("coils", "coils")
def a_burst_of_half_steps(part):
    second = [i for i, line in enumerate(part.lines) if re.search("GP(SET|CLR)0", line)][40]
    part.set_time(second, part.time(second - 1) + 100 * US)


@change("safe-coils", "level")
def safe_leaves_a_coil_on(part):
    part.lines = [line for line in part.lines if "GPCLR0 0x00000040" not in line]


# ---- servos that turn continuously: channel 0 is GPIO18, and neutral 15000 ticks


@change("rover", "neutral")
def its_last_pulses_are_a_speed(part):
    part.replace(part.last("DAT1 0x00003a98"), "0x00003a98", "0x00003a99")


@change("rover", "neutral")
def its_signal_ends_before_it_was_neutral_for_long(part):
    # From the first width 0 of either channel on, all comes 60 ms sooner.
    first = part.first("DAT[12] 0x00000000", part.last("DAT1 0x00003a98"))
    for at in range(first, len(part.lines)):
        part.set_time(at, part.time(at) - 60 * MS)


# ---- a step clock: channel 0 is GPIO18, DIR 27, enable 22

BURST, BURST_END = "CTL 0x0000..[0-9a-f]1", "CTL 0x0000..[0-9a-f]0"


def bursts_of(part):
    """Where each burst begins and ends."""
    begins = [i for i, line in enumerate(part.lines) if re.search(BURST, line)]
    return [(begin, part.first(BURST_END, begin)) for begin in begins]


@change("clock", "count")
def a_burst_is_a_pulse_too_long(part):
    begin, end = bursts_of(part)[-1]
    period = int(part.lines[begin - 2].split()[-1], 16) * 100 // NS_PER_TICK
    part.set_time(end, part.time(end) + period)


@change("clock", "end")
def a_burst_ends_within_a_pulse(part):
    begin, end = bursts_of(part)[0]
    part.set_time(end, part.time(begin) + 500 // NS_PER_TICK)


@change("clock", "start")
def a_burst_with_a_pulse_too_short(part):
    for at in range(*bursts_of(part)[1]):
        if "DAT1" in part.lines[at]:
            part.replace(at, "0x[0-9a-f]+", "0x00000009")
    begin = bursts_of(part)[1][0]
    part.replace(begin - 1, "0x[0-9a-f]+", "0x00000009")


@change("clock", "rate")
def a_burst_faster_than_allowed(part):
    begin, end = bursts_of(part)[len(bursts_of(part)) // 2]
    part.replace(begin - 2, "0x[0-9a-f]+", "0x00008234")


@change("clock", "rate")
def a_burst_right_after_the_last(part):
    (_, end), (begin, _) = bursts_of(part)[3:5]
    for at in range(begin - 2, begin + 1):
        part.set_time(at, part.time(end) + 1)


@change("clock", "rate")
def a_start_at_full_speed(part):
    part.replace(bursts_of(part)[0][0] - 2, "0x[0-9a-f]+", "0x00008300")


@change("clock", "width")
def the_rate_changes_within_a_burst(part):
    begin, end = bursts_of(part)[2]
    part.lines.insert(begin + 1, re.sub("PWM.*", "PWM RNG1 0x00009000", part.lines[begin]))


@change("clock", "dir")
def dir_changes_within_a_burst(part):
    turn = part.first("GPCLR0 0x08000000", bursts_of(part)[0][0])
    begin, end = next(burst for burst in bursts_of(part) if burst[0] > turn)
    part.set_time(turn, part.time(begin))
    part.move(turn, begin + 1)


@change("clock", "dir")
def dir_after_the_first_burst_back(part):
    turn = part.first("GPCLR0 0x08000000", bursts_of(part)[0][0])
    begin = next(begin for begin, _ in bursts_of(part) if begin > turn)
    part.set_time(turn, part.time(begin))


@change("clock", "count")
def a_step_clock_that_turns_the_wrong_way(part):
    del part.lines[part.first("GPCLR0 0x08000000", bursts_of(part)[0][0])]


@change("clock", "enable")
def a_burst_without_power(part):
    begin = bursts_of(part)[4][0]
    part.lines.insert(begin - 2, re.sub("PWM.*", "GPIO GPSET0 0x00400000", part.lines[begin]))


@change("clock-TERM-333", "end")
def a_stop_leaves_the_clock_running(part):
    begin, end = bursts_of(part)[-1]
    part.lines = part.lines[: begin + 1] + part.lines[-1:]


@change("clock-panic", "end")
def a_panic_cuts_a_step(part):
    begin = part.first(BURST)
    part.lines = [line for i, line in enumerate(part.lines) if i < begin or not re.search("DAT1 0x00000000", line)]
    part.set_time(part.last(BURST_END), part.time(bursts_of(part)[-2][0]) + 500 // NS_PER_TICK)


@change("safe-clock-450", "end")
def safe_leaves_the_step_clock_on(part):
    del part.lines[part.last("CTL")]


@change("safe-clock-450", "level")
def safe_leaves_the_turntable_on(part):
    part.lines = [line for line in part.lines if "GPSET0 0x00400000" not in line]


# ---- the self-test


@change("selftest", "enable")
def tested_with_power(part):
    up = part.first(X_UP)
    part.lines.insert(up, re.sub("GPSET0.*", "GPCLR0 0x00400000", part.lines[up]))


@change("selftest", "count")
def a_count_that_was_not_measured(part):
    up = part.first(X_UP)
    del part.lines[up : up + 2]


@change("selftest", "hold")
def tested_with_its_load(part):
    part.lines.insert(-1, re.sub("PWM.*", "GPIO GPSET0 0x04000000", part.lines[-1]))
