"""What has to hold at the pins. Each rule takes a scenario as it was played back and raises Wrong."""

from registers import PWM_TICK_NS, Wrong

MS = 1_000_000
# A time in the log is the guest's last look at its clock before the store: this much may be lost in rounding.
ROUNDING_NS = 32

# The DRV8825: the least time of STEP high and low, and of DIR before and after a step.
STEP_NS = 1_900
DIR_NS = 650

OUTPUT = 1


def need(condition, rule, event, text):
    if not condition:
        raise Wrong(rule, event.line if event else 0, text)


def said_board(scenario):
    need(
        "Raspberry Pi 3 Model B" in scenario.stderr,
        "board",
        None,
        f"the board was not recognised: {scenario.stderr!r}",
    )


# ---- PWM


def signal(scenario, channel, shortest, longest, period=200_000):
    """A servo's signal begins with its period and a width that is allowed, keeps to them, and ends by width
    0, one whole period, disable. Widths are in PWM ticks. Returns its states while it was on."""
    need(not scenario.was_on[channel], "start", scenario.begin, f"channel {channel} runs already")
    on, emptied, states = False, None, []
    for state in scenario.pwm[channel]:
        if state.on and not on:
            need(
                state.period == period and shortest <= state.width <= longest,
                "start",
                state,
                f"channel {channel} is enabled with period {state.period} and width {state.width}",
            )
            emptied = None
        elif on and not state.on:
            need(emptied, "end", state, f"channel {channel} is disabled at width {state.width}: a pulse is cut")
            waited = state.ns - emptied.ns
            need(
                waited >= period * PWM_TICK_NS - ROUNDING_NS,
                "end",
                state,
                f"channel {channel} is disabled {waited} ns after width 0, before a whole period has passed",
            )
        elif state.on:
            need(state.period == period, "width", state, f"channel {channel} changes its period while it runs")
            if state.width == 0:
                emptied = emptied or state
            else:
                need(not emptied, "end", state, f"channel {channel} gets a width again at its end")
                need(
                    shortest <= state.width <= longest,
                    "width",
                    state,
                    f"channel {channel} gets the width {state.width}, outside {shortest} to {longest}",
                )
        on = state.on
        if on:
            states.append(state)
    need(not on, "end", scenario.end, f"channel {channel} is left on")
    last = scenario.pwm[channel][-1:]
    need(not last or last[0].width == 0, "end", scenario.end, f"channel {channel} is left with a width")
    return states


def stands_still(scenario, channel, states, neutral, quiet_ns, period=200_000):
    """A servo that turns continuously gets neutral pulses for so long before its signal ends, give or take what the end
    waits for a pulse, and not much longer."""
    widths = [state for state in states if state.width]
    if not widths:
        return
    last = len(widths) - 1
    need(
        widths[last].width == neutral,
        "neutral",
        widths[last],
        f"channel {channel} ends with the width {widths[last].width}, at a speed",
    )
    while last and widths[last - 1].width == neutral:
        last -= 1
    emptied = next(state for state in states if state.width == 0 and state.line > widths[-1].line)
    quiet = emptied.ns - widths[last].ns
    # The width is written in the low phase before its pulse, and taken back in a low phase.
    need(
        quiet_ns - period * PWM_TICK_NS // 2 <= quiet <= quiet_ns + 3 * period * PWM_TICK_NS,
        "neutral",
        emptied,
        f"channel {channel} is neutral for {quiet / MS:.1f} ms, not for {quiet_ns / MS:.0f} ms",
    )


def ended(scenario, channel, period=200_000):
    """Whatever a channel did, its signal ends like every other: width 0, one whole period, off. It never gets
    another width. A channel that was off stays so. Without `period`: the one that it has."""
    on, emptied, fixed = scenario.was_on[channel], None, period
    for state in scenario.pwm[channel]:
        period = fixed or state.period
        need(not (state.on and state.width) or on, "end", state, f"channel {channel} is switched on")
        if on and not state.on:
            need(emptied, "end", state, f"channel {channel} is disabled at width {state.width}: a pulse is cut")
            waited = state.ns - emptied.ns
            need(
                waited >= period * PWM_TICK_NS - ROUNDING_NS,
                "end",
                state,
                f"channel {channel} is disabled {waited} ns after width 0, before a whole period has passed",
            )
        elif state.width == 0:
            emptied = emptied or state
        else:
            need(not emptied, "end", state, f"channel {channel} gets a width again")
        on = state.on
    need(not on, "end", scenario.end, f"channel {channel} is left on")
    last = scenario.pwm[channel][-1:]
    need(not last or last[0].width == 0, "end", scenario.end, f"channel {channel} is left with a width")


def sweep(states, targets, every_ns):
    """The signal goes through the targets, a new one every so often, and on the straight way between two."""
    need(states, "path", None, "there was no signal")
    start = states[0].ns
    widths = [s for i, s in enumerate(states) if s.width and (i == 0 or s.width != states[i - 1].width)]
    need(widths[0].width == targets[0], "path", widths[0], f"it begins at {widths[0].width}, not {targets[0]}")
    at = 1
    for number, (was, target) in enumerate(zip(targets, targets[1:]), 1):
        due = number * every_ns
        need(at < len(widths), "path", widths[-1], f"target {number}, {target}, is missing")
        late = widths[at].ns - start - due
        # It looks at its path once a period, 20 ms, and a move begins some milliseconds after it is asked for.
        need(
            -1 * MS <= late <= 45 * MS,
            "time",
            widths[at],
            f"the way to target {number} begins {late / MS:.3f} ms after its time",
        )
        last = was
        while at < len(widths):
            here = widths[at]
            at += 1
            need(
                min(last, target) <= here.width <= max(last, target),
                "path",
                here,
                f"{here.width} is not between {last} and target {number}, {target}",
            )
            last = here.width
            if here.width == target:
                break
        need(last == target, "path", widths[at - 1], f"target {number}, {target}, is never reached")
        need(
            widths[at - 1].ns - start < due + every_ns,
            "time",
            widths[at - 1],
            f"target {number}, {target}, is reached when the next is due",
        )
    need(at == len(widths), "path", widths[min(at, len(widths) - 1)], "it goes on after the last target")


# ---- pins


def outputs_stay(scenario, pins):
    """A pin that was made an output stays one."""
    for change in scenario.functions:
        need(
            change.pin not in pins or change.function == OUTPUT,
            "pins",
            change,
            f"GPIO{change.pin} is made something else than an output ({change.function})",
        )


def first_output(scenario, pin):
    """Where the pin was made an output, if it was."""
    found = [f for f in scenario.functions if f.pin == pin and f.function == OUTPUT]
    return found[0] if found else None


def lets_go(scenario, pin, steps):
    """An active-low enable line: inactive from the first instant on, active at every step, inactive at the end."""
    levels = scenario.of_pin(pin)
    if not levels:
        need(not steps, "enable", steps[0] if steps else None, f"steps, and GPIO{pin} was never written")
        return
    need(levels[0].high, "enable", levels[0], f"GPIO{pin} is active from the first write")
    opened = first_output(scenario, pin)
    need(opened is None or opened.high, "enable", opened, f"GPIO{pin} is active as it becomes an output")
    events = sorted([*levels, *steps], key=lambda e: e.line)
    active = False
    for event in events:
        if event.pin == pin:
            active = not event.high
        else:
            need(active, "enable", event, f"a step of GPIO{event.pin} while GPIO{pin} is inactive")
    need(levels[-1].high, "enable", levels[-1], f"GPIO{pin} is left active")


def holds(scenario, pin, steps):
    """The active-low enable line of an axis that holds a load: it keeps the level that it was found with. If
    that is inactive, the first step makes it active, once; nothing ever lets the load go."""
    active = not scenario.latches[pin]
    opened = first_output(scenario, pin)
    need(opened is None or opened.high != active, "hold", opened, f"GPIO{pin} becomes an output at another level")
    for event in sorted([*scenario.of_pin(pin), *steps], key=lambda e: e.line):
        if event.pin != pin:
            need(active, "hold", event, f"a step of GPIO{event.pin} while GPIO{pin} is inactive")
        elif active:
            need(not event.high, "hold", event, f"GPIO{pin} goes inactive: the load falls")
        elif not event.high:
            after = [step for step in steps if step.line > event.line]
            need(after, "hold", event, f"GPIO{pin} is made active for no step")
            soon = after[0].ns - event.ns
            need(soon <= 50 * MS, "hold", event, f"GPIO{pin} is made active {soon / MS:.1f} ms before the first step")
            active = True


def ends_at(scenario, pin, high):
    """An output that has to be at a level: it is made an output at this level, and written to it alone."""
    for level in scenario.of_pin(pin):
        need(level.high == high, "level", level, f"GPIO{pin} is set to its other level")
    for change in scenario.functions:
        if change.pin == pin:
            need(change.function == OUTPUT, "pins", change, f"GPIO{pin} is made something else than an output")
            need(change.high == high, "level", change, f"GPIO{pin} becomes an output at its other level")
    need(scenario.of_pin(pin), "level", scenario.end, f"GPIO{pin} is not brought to its level")


def untouched(scenario, pin, rule):
    """A pin that is none of its business."""
    for level in scenario.of_pin(pin):
        need(False, rule, level, f"GPIO{pin} is written")
    for change in scenario.functions:
        need(change.pin != pin, rule, change, f"GPIO{pin} gets another function")


# ---- coils

# Coils that are switched one right after the other, as both are at the end, are no two steps.
SWITCHED_TOGETHER_NS = 50_000
HALF_STEPS = [0b0001, 0b0011, 0b0010, 0b0110, 0b0100, 0b1100, 0b1000, 0b1001]


def coils(scenario, pins, gap_ns):
    """Half steps: the coils, in the order of `pins`, go from state to neighbour, no two that pull against each other
    are ever on, no step comes sooner than `gap_ns` after the last, and power that comes back finds the state that
    it left. All are off at first and at last. Returns the sign of each step."""
    on, at, since, signs = 0, None, None, []
    changes = [level for level in scenario.levels if level.pin in pins and level.high != level.before]
    for level, after in zip(changes, [*changes[1:], None]):
        on ^= 1 << pins.index(level.pin)
        need(on & on >> 2 & 0b11 == 0, "coils", level, f"opposite coils are on together ({on:04b})")
        if after and after.ns - level.ns < SWITCHED_TOGETHER_NS:
            continue
        if on == 0:
            since = None
            continue
        need(on in HALF_STEPS, "coils", level, f"{on:04b} is no half step")
        now = HALF_STEPS.index(on)
        if at is not None and now != at:
            need(since, "coils", level, "it comes back to power in another state")
            sign = (now - at + 4) % 8 - 4
            need(abs(sign) == 1, "coils", level, f"from state {at} to state {now} is no single step")
            need(level.ns - since.ns >= gap_ns, "coils", level, f"a step {level.ns - since.ns} ns after the last")
            signs.append(sign)
        at, since = now, level
    need(signs, "coils", scenario.end, "the coils made no step")
    need(on == 0, "coils", scenario.end, f"coils are left on ({on:04b})")
    return signs


# ---- steps


def steps(scenario, step, direction, needs_direction=True):
    """Whole pulses, and DIR at rest around them. Returns the rising edges and the sign of each. Where the motor has
    no power it needs no direction."""
    rising, signs = [], []
    high = last_fall = None
    dir_high = dir_at = None
    for level in sorted([*scenario.of_pin(step), *scenario.of_pin(direction)], key=lambda e: e.line):
        if level.pin == direction:
            if level.high == level.before and dir_high is not None:
                continue
            dir_high, dir_at = level.high, level
            need(not high, "dir", level, f"DIR (GPIO{direction}) changes within a pulse of GPIO{step}")
            need(
                not rising or level.ns - rising[-1].ns >= DIR_NS - ROUNDING_NS,
                "dir",
                level,
                f"DIR (GPIO{direction}) changes right after a step of GPIO{step}",
            )
        elif level.high:
            need(not high, "pulse", level, f"GPIO{step} is set twice: a pulse has no end")
            need(dir_high is not None or not needs_direction, "dir", level, f"a step of GPIO{step} before DIR was ever set")
            settled = level.ns - dir_at.ns if dir_at else DIR_NS
            need(
                settled >= DIR_NS - ROUNDING_NS,
                "dir",
                level,
                f"a step of GPIO{step} {settled} ns after DIR",
            )
            gap = level.ns - last_fall.ns if last_fall else STEP_NS
            need(gap >= STEP_NS - ROUNDING_NS, "pulse", level, f"GPIO{step} was low for {gap} ns only")
            rising.append(level)
            signs.append(1 if dir_high else -1)
            high = level
        else:
            need(high or not rising or level.before is False, "pulse", level, f"GPIO{step} falls without a pulse")
            if high:
                width = level.ns - high.ns
                need(width >= STEP_NS - ROUNDING_NS, "pulse", level, f"a pulse of GPIO{step} of {width} ns")
                last_fall = level
            high = None
    need(not high, "pulse", scenario.end, f"GPIO{step} is left high")
    return rising, signs


def counts(scenario, name, signs):
    """The steps at the pin are those that the program reports."""
    net, told = sum(signs), scenario.report()["motors"][name]["steps"]
    need(net == told, "count", scenario.end, f"{name} reports {told} steps, {net} came out")


def runs(name, signs, wanted, scenario):
    """The steps come in these runs, each in one direction."""
    found = []
    for sign in signs:
        if found and (found[-1] > 0) == (sign > 0):
            found[-1] += sign
        else:
            found.append(sign)
    need(found == wanted, "count", scenario.end, f"{name} made the steps {found}, not {wanted}")


def straight(parts):
    """Axes that move together stay on the straight line: at each step of one, the others are within a step of
    their share of the way. `parts` are the rising edges of each axis in this move."""
    for one in parts:
        for other in parts:
            if one is other:
                continue
            done = 0
            for number, edge in enumerate(one, 1):
                while done < len(other) and other[done].ns <= edge.ns:
                    done += 1
                # A step is due a quarter before its place.
                share = (number - 0.25) / len(one)
                off = abs(done - share * len(other))
                allowed = 1 + len(other) / len(one) / 2
                need(off <= allowed, "line", edge, f"{off:.2f} steps beside the line (GPIO{other[0].pin})")


def one_by_one(parts):
    for before, after in zip(parts, parts[1:]):
        need(
            before[-1].ns < after[0].ns,
            "order",
            after[0],
            f"GPIO{after[0].pin} moves before GPIO{before[0].pin} has arrived",
        )


def lateness(parts, plans):
    """How long after its time each step came, in ns, sorted. The move's own begin is where the earliest of its
    steps was on time."""
    late = [
        (edge.ns - due) for edges, times in zip(parts, plans) for edge, due in zip(edges, times, strict=True)
    ]
    least = min(late)
    return sorted(ns - least for ns in late)
