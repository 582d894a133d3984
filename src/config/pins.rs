//! Which motor uses which pin, and whether the board can do that.

use super::parts::{PinUse, ReadMotor, Role};
use super::reader::{Reader, or};
use crate::board::{self, Model};

/// The board a config is checked for.
#[derive(Clone, Copy)]
pub(super) struct Board {
    pub model: Model,
    /// Nobody named it: the model stands for all.
    pub assumed: bool,
}

impl Board {
    fn name(self) -> String {
        if self.assumed { "a Raspberry Pi".to_owned() } else { format!("a {}", self.model.name()) }
    }
}

pub(super) fn check(r: &Reader<'_>, motors: &[ReadMotor], board: Board) {
    let mut uses: Vec<(&ReadMotor, &PinUse)> =
        motors.iter().flat_map(|m| m.pins.iter().map(move |p| (m, p))).collect();
    uses.sort_by_key(|(_, p)| p.span.start);
    for (i, &(motor, pin)) in uses.iter().enumerate() {
        let before = &uses[..i];
        // One error for each place: the first that holds.
        let _ = (pin.role == Role::Bus || on_header(r, pin, board))
            && used_once(r, motor, pin, before)
            && (pin.role != Role::Pwm || has_pwm(r, pin, before, board));
    }
}

fn on_header(r: &Reader<'_>, pin: &PinUse, board: Board) -> bool {
    let gpio = pin.gpio;
    if !board::HEADER_GPIOS.contains(&gpio) {
        r.error(pin.span, format!("GPIO{gpio} is not on the header"), "use one of GPIO2 to GPIO27");
        return false;
    }
    if gpio < 2 {
        r.error(
            pin.span,
            format!("GPIO{gpio} is kept for the EEPROM of add-on boards"),
            "use one of GPIO2 to GPIO27",
        );
        return false;
    }
    if board.model.header_pin(gpio).is_none() {
        r.error(
            pin.span,
            format!("the short header of {} has no GPIO{gpio}", board.name()),
            "use a pin that it has",
        );
        return false;
    }
    true
}

fn used_once(
    r: &Reader<'_>,
    motor: &ReadMotor,
    pin: &PinUse,
    before: &[(&ReadMotor, &PinUse)],
) -> bool {
    let earlier = before.iter().filter(|(_, p)| p.gpio == pin.gpio);
    for (other, p) in earlier {
        let gpio = pin.gpio;
        let already = format!("`{}` of `{}` (line {})", p.function, other.name, r.line(p.span));
        match (pin.role, p.role) {
            (Role::Bus, Role::Bus) => continue,
            (Role::Enable { active_low: a }, Role::Enable { active_low: b })
                if other.name != motor.name =>
            {
                if a == b {
                    continue;
                }
                let sense = |low| if low { "low" } else { "high" };
                r.error(
                    pin.span,
                    format!(
                        "GPIO{gpio} is the enable line of `{}` and of `{}` (line {}), but active {} here and {} there",
                        motor.name, other.name, r.line(p.span), sense(a), sense(b)
                    ),
                    "write the same `active` for both, or use two pins",
                );
            }
            _ => r.error(
                pin.span,
                format!("GPIO{gpio} already serves as {already}"),
                "use another pin",
            ),
        }
        return false;
    }
    true
}

fn has_pwm(r: &Reader<'_>, pin: &PinUse, before: &[(&ReadMotor, &PinUse)], board: Board) -> bool {
    let (gpio, model) = (pin.gpio, board.model);
    let used = |channel| {
        before
            .iter()
            .filter(|(_, p)| p.role == Role::Pwm && p.gpio != gpio)
            .find(|(_, p)| model.pwm_channel(p.gpio) == Some(channel))
    };
    let free = || {
        let pins = model.pwm_pins().into_iter();
        let pins = pins.filter(|&g| model.pwm_channel(g).is_some_and(|c| used(c).is_none()));
        let names: Vec<String> = pins.map(|g| format!("GPIO{g}")).collect();
        if names.is_empty() {
            "each channel has its motor already".to_owned()
        } else {
            format!("use {}", or(&names))
        }
    };
    // What a Pi 5 could do, where nobody said which board it is.
    let pi_5 = |can: bool| {
        let hint = ", or write `board = \"pi-5\"` in [machine] if it is one";
        if board.assumed && can { hint } else { "" }
    };
    let Some(channel) = model.pwm_channel(gpio) else {
        let can = Model::Pi5.pwm_channel(gpio).is_some();
        let on = match (board.assumed, can) {
            (true, true) => "before the Pi 5".to_owned(),
            _ => format!("on {}", board.name()),
        };
        r.error(
            pin.span,
            format!("GPIO{gpio} has no hardware PWM {on}"),
            format!("{}{}", free(), pi_5(can)),
        );
        return false;
    };
    if let Some((other, p)) = used(channel) {
        let can = Model::Pi5.pwm_channel(gpio) != Model::Pi5.pwm_channel(p.gpio);
        let on = if board.assumed {
            "up to the Pi 4".to_owned()
        } else {
            format!("on {}", board.name())
        };
        r.error(
            pin.span,
            format!(
                "GPIO{gpio} is the same PWM channel as GPIO{} of `{}` (line {}) {on}",
                p.gpio,
                other.name,
                r.line(p.span)
            ),
            format!("{}{}", free(), pi_5(can)),
        );
        return false;
    }
    true
}
