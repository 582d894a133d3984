//! What the firmware says of the supply and the temperature.

use super::{Finding, Host, and};

/// The bits of `get_throttled`, and what each means now and since the start (16 bits higher).
const BITS: [&str; 4] =
    ["under-voltage", "a capped CPU frequency", "throttling", "the soft temperature limit"];

pub(super) fn power(host: &Host) -> Finding {
    const CHECK: &str = "power";
    let Some(bits) = throttled(host) else {
        return match alarm(host) {
            Some(true) => Finding::advice(CHECK, UNDER_VOLTAGE),
            Some(false) => Finding::ok(CHECK, "no under-voltage since the start"),
            None => {
                Finding::unknown(CHECK, "the firmware does not say (`vcgencmd get_throttled` may)")
            }
        };
    };
    let named = |shift: usize| -> Vec<String> {
        let set = |(i, _): &(usize, &&str)| bits >> (i + shift) & 1 == 1;
        BITS.iter().enumerate().filter(set).map(|(_, name)| (*name).to_owned()).collect()
    };
    let (now, since) = (named(0), named(16));
    let under_voltage = bits & 0x1_0001 != 0;
    let says = match (now.is_empty(), since.is_empty()) {
        (true, true) => {
            return Finding::ok(CHECK, "no under-voltage, no throttling since the start");
        }
        (false, _) => format!("now: {}", and(&now)),
        (true, false) => format!("since the start: {}", and(&since)),
    };
    let means = if under_voltage {
        UNDER_VOLTAGE
    } else {
        "edges come late while it lasts: cool it better"
    };
    Finding::advice(CHECK, format!("{says}. {}", capital(means)))
}

const UNDER_VOLTAGE: &str = "the board's supply is too weak, or its cable too thin; motors want a supply of \
                             their own, never the board's 5 V";

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What the firmware's driver offers, in hexadecimal digits. Its folder's name differs from board to board.
fn throttled(host: &Host) -> Option<u32> {
    const PLATFORM: &str = "sys/devices/platform";
    let firmware = |folder: &str| -> Option<String> {
        let names = host.names(folder).into_iter().filter(|n| n.contains("firmware"));
        names.map(|n| format!("{folder}/{n}")).find_map(|f| host.word(format!("{f}/get_throttled")))
    };
    let deeper = || {
        let folders = host.names(PLATFORM).into_iter().map(|n| format!("{PLATFORM}/{n}"));
        folders.into_iter().find_map(|f| firmware(&f))
    };
    let text = firmware(PLATFORM).or_else(deeper)?;
    u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

/// The under-voltage alarm of the driver `raspberrypi-hwmon`.
fn alarm(host: &Host) -> Option<bool> {
    const CLASS: &str = "sys/class/hwmon";
    let monitors = host.names(CLASS).into_iter();
    let mut ours =
        monitors.filter(|m| host.word(format!("{CLASS}/{m}/name")).as_deref() == Some("rpi_volt"));
    Some(host.number(format!("{CLASS}/{}/in0_lcrit_alarm", ours.next()?))? != 0)
}
