//! What a board says of its own supply.

use std::fs;
use std::path::{Path, PathBuf};

/// Tells whether the board's supply is too low.
pub trait Supply: Send {
    /// Whether its voltage is low now; `None` where that can't be told.
    fn is_low(&mut self) -> Option<bool>;
}

/// The Raspberry Pi's firmware, as the kernel shows it: the alarm of the driver `raspberrypi-hwmon`
/// (`in0_lcrit_alarm`), or bit 0 of `get_throttled`, "under-voltage".
#[derive(Debug)]
pub enum SysSupply {
    /// 1 while the voltage is low.
    Alarm(PathBuf),
    /// Hexadecimal digits, of which bit 0 is set while the voltage is low.
    Throttled(PathBuf),
}

impl SysSupply {
    /// Looks for it under `sys`, as a rule `/sys`. `None`: this board does not tell.
    pub fn find(sys: &Path) -> Option<SysSupply> {
        let inside = |folder: &Path| -> Vec<PathBuf> {
            let mut all: Vec<_> =
                fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
            all.sort();
            all
        };
        for monitor in inside(&sys.join("class/hwmon")) {
            let name = fs::read_to_string(monitor.join("name")).unwrap_or_default();
            let alarm = monitor.join("in0_lcrit_alarm");
            if name.trim() == "rpi_volt" && alarm.exists() {
                return Some(SysSupply::Alarm(alarm));
            }
        }
        let platform = inside(&sys.join("devices/platform"));
        let deeper = platform.iter().flat_map(|folder| inside(folder)).collect::<Vec<_>>();
        let firmware = platform.into_iter().chain(deeper).find_map(|folder| {
            let is_firmware = folder.file_name()?.to_str()?.contains("firmware");
            Some(folder.join("get_throttled")).filter(|file| is_firmware && file.exists())
        });
        firmware.map(SysSupply::Throttled)
    }
}

impl Supply for SysSupply {
    fn is_low(&mut self) -> Option<bool> {
        match self {
            SysSupply::Alarm(file) => Some(fs::read_to_string(file).ok()?.trim() != "0"),
            SysSupply::Throttled(file) => {
                let text = fs::read_to_string(file).ok()?;
                let bits = u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()?;
                Some(bits & 1 == 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_tells_by_its_monitor_or_by_its_firmware() {
        let root = tempfile::tempdir().unwrap();
        assert!(SysSupply::find(root.path()).is_none());
        let put = |file: &str, text: &str| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let throttled = "devices/platform/soc/soc:firmware/get_throttled";
        put(throttled, "0\n");
        let mut supply = SysSupply::find(root.path()).unwrap();
        assert_eq!(supply.is_low(), Some(false));
        // It was low before: that is no reason to wait.
        put(throttled, "50000\n");
        assert_eq!(supply.is_low(), Some(false));
        put(throttled, "50005\n");
        assert_eq!(supply.is_low(), Some(true));
        put("class/hwmon/hwmon0/name", "cpu_thermal\n");
        put("class/hwmon/hwmon1/name", "rpi_volt\n");
        put("class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
        let mut supply = SysSupply::find(root.path()).unwrap();
        assert!(matches!(supply, SysSupply::Alarm(_)));
        assert_eq!(supply.is_low(), Some(true));
        put("class/hwmon/hwmon1/in0_lcrit_alarm", "0\n");
        assert_eq!(supply.is_low(), Some(false));
    }
}
