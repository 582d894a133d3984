"""What has to hold for an axis whose step clock is a PWM channel."""

import math
from dataclasses import dataclass

from registers import PWM_TICK_NS, Level
from rules import ROUNDING_NS, need


@dataclass(frozen=True)
class StepClock:
    """What an axis may do whose steps a PWM channel makes: steps/s, steps/s^2, and its driver's least times."""

    speed: float
    acceleration: float
    high_ns: int
    dir_ns: int

    def jump(self):
        """What the rate may change by at once: where two steps from rest bring it to."""
        return 2 * math.sqrt(self.acceleration)


# A write's moment in the log is the last look at the clock before it: it may have come this much later.
WRITE_NS = 100_000


def bursts(scenario, channel, direction, clock):
    """Bursts of one rate each: enabled with a period and a pulse that is long enough, disabled in the low phase (or
    in that given width 0, and disabled a period later), DIR settled and at rest, the rates in stairs. Returns a
    rising edge for each pulse that the channel makes of that, and its sign. At the end it is off."""
    need(not scenario.was_on[channel], "start", scenario.begin, f"channel {channel} runs already")
    edges, signs = [], []
    on = off = emptied = dir_high = dir_at = rate = None
    for state in sorted([*scenario.pwm[channel], *scenario.of_pin(direction)], key=lambda e: e.line):
        if state in scenario.levels:
            if state.high == dir_high:
                continue
            need(not on, "dir", state, f"DIR (GPIO{direction}) changes within a burst")
            need(not off or state.ns - off.ns >= clock.dir_ns, "dir", state, f"DIR (GPIO{direction}) changes right after a burst")
            if dir_high is not None:
                need(not rate or rate <= clock.jump() + 1, "rate", state, f"it turns at {rate or 0:.0f} steps/s")
                rate = None
            dir_high, dir_at = state.high, state
            continue
        if on and state.on and state.width == 0:
            emptied = emptied or state
        elif on and state.on:
            same = (state.period, state.width) == (on.period, on.width) and not emptied
            need(same, "width", state, f"channel {channel} changes within a burst")
        elif state.on:
            need(dir_high is not None, "dir", state, "a burst before DIR was ever set")
            need(state.ns - dir_at.ns >= clock.dir_ns, "dir", state, f"a burst {state.ns - dir_at.ns} ns after DIR")
            high_ns, period_ns = state.width * PWM_TICK_NS, state.period * PWM_TICK_NS
            need(clock.high_ns <= high_ns < period_ns / 2, "start", state, f"enabled with a pulse of {high_ns} ns")
            need(period_ns >= 1e9 / clock.speed, "rate", state, f"a period of {period_ns} ns is too short")
            if edges:
                gap = state.ns - edges[-1].ns
                need(gap >= 1e9 / clock.speed - WRITE_NS, "rate", state, f"a pulse {gap} ns after the last")
            now, since = 1e9 / period_ns, (state.ns - edges[-1].ns + period_ns) / 1e9 if edges else 0.0
            most = clock.jump() + clock.acceleration * since + 1
            need(abs(now - (rate or 0.0)) <= most, "rate", state, f"from {rate or 0:.0f} to {now:.0f} steps/s at once")
            on, rate = state, now
        elif on:
            period_ns, high_ns = on.period * PWM_TICK_NS, on.width * PWM_TICK_NS
            waited = state.ns - emptied.ns if emptied else period_ns
            need(waited >= period_ns - ROUNDING_NS, "end", state, f"disabled {waited} ns after width 0")
            lasted = (emptied or state).ns - on.ns
            count, phase = lasted // period_ns + 1, lasted % period_ns
            low = high_ns <= phase <= period_ns - WRITE_NS
            need(low, "end", state, f"channel {channel} is disabled {phase} ns into a period: not surely in its low phase")
            for number in range(count):
                edges.append(Level(on.line, on.ns + number * period_ns, 0, True, False))
                signs.append(1 if dir_high else -1)
            on, off, emptied = None, state, None
    need(not on, "end", scenario.end, f"channel {channel} is left on")
    return edges, signs
