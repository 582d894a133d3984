use std::fs;

use super::HalError;
use crate::board::Model;

/// The board that this program runs on, as the system tells it.
///
/// # Errors
///
/// [`HalError::UnknownBoard`] on anything that is not a known Raspberry Pi.
pub fn identify_board() -> Result<Model, HalError> {
    let read = |path: &str| fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned());
    let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
    let compatible = read("/sys/firmware/devicetree/base/compatible").unwrap_or_default();
    let model = read("/sys/firmware/devicetree/base/model").unwrap_or_default();
    identify(&cpuinfo, &compatible, &model)
}

/// The board behind `/proc/cpuinfo` and the device tree's `compatible` and `model`; each may be empty.
pub(crate) fn identify(cpuinfo: &str, compatible: &str, model: &str) -> Result<Model, HalError> {
    revision(cpuinfo)
        .and_then(Model::from_revision)
        .or_else(|| Model::from_compatible(compatible))
        .or_else(|| Model::from_model_string(model))
        .ok_or_else(|| HalError::UnknownBoard {
            said: Some(model.trim_end_matches('\0').trim().to_owned()).filter(|m| !m.is_empty()),
        })
}

/// The code behind `Revision` in `/proc/cpuinfo`. Kernels other than Raspberry Pi's have no such line.
fn revision(cpuinfo: &str) -> Option<u32> {
    let (_, code) = cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == "Revision")?;
    u32::from_str_radix(code.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_revision_then_device_tree() {
        let pi_4 = "processor\t: 0\n\nHardware\t: BCM2835\nRevision\t: c03114\nSerial\t\t: 1\n";
        assert_eq!(identify(pi_4, "", ""), Ok(Model::Pi4));
        let compatible = "raspberrypi,3-model-b\0brcm,bcm2837\0";
        assert_eq!(identify("processor\t: 0\n", compatible, ""), Ok(Model::Pi3));
        assert_eq!(identify("", "", "Raspberry Pi 5 Model B Rev 1.0\0"), Ok(Model::Pi5));
    }

    #[test]
    fn others_are_named() {
        let error = identify("", "pine64,rock64\0", "Pine64 Rock64\0").unwrap_err();
        assert_eq!(error, HalError::UnknownBoard { said: Some("Pine64 Rock64".into()) });
        assert!(error.to_string().contains("`Pine64 Rock64`"));
        let pc = identify("model name : some CPU\n", "", "").unwrap_err();
        assert!(pc.to_string().contains("no Raspberry Pi"));
    }
}
