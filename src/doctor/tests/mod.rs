//! The doctor on machines that are folders.

mod header;
mod timing;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use super::host::LineUse;
use super::*;
use crate::hal::{Level, PinFunction, PinSeen};

/// A machine, and what its pins would say.
struct Machine {
    root: tempfile::TempDir,
    pins: Result<Vec<PinSeen>, String>,
    lines: Result<Vec<LineUse>, String>,
    forgets: Option<&'static str>,
}

impl Header for Machine {
    fn look_at(&self, gpios: &[u8]) -> Result<Vec<PinSeen>, String> {
        let pins = self.pins.clone()?;
        let input = |gpio| PinSeen { gpio, function: PinFunction::Input, level: Level::Low };
        let look = |&g: &u8| pins.iter().find(|p| p.gpio == g).cloned().unwrap_or_else(|| input(g));
        Ok(gpios.iter().map(look).collect())
    }

    fn lines_in_use(&self, label: &str) -> Result<Vec<LineUse>, String> {
        let board = board(&Host::at(self.root.path())).map_err(|e| e.to_string())?;
        assert_eq!(label, board.gpiochip_label());
        self.lines.clone()
    }

    fn forgets(&self, folder: &Path) -> Option<&'static str> {
        assert_eq!(folder, Path::new("/var/lib/lockstep"));
        self.forgets
    }
}

/// What `get_throttled` lies in on a Pi 4.
const FIRMWARE: &str = "sys/devices/platform/soc/soc:firmware/get_throttled";

impl Machine {
    /// A machine that is no Raspberry Pi, with nothing to complain of.
    fn laptop() -> Machine {
        let root = tempfile::tempdir().unwrap();
        let (pins, lines) = (Err("no pins".to_owned()), Ok(Vec::new()));
        let machine = Machine { root, pins, lines, forgets: None };
        machine
            .file("proc/cpuinfo", "model name : some CPU\n")
            .file("proc/sys/kernel/osrelease", "6.1.0-37-amd64\n")
            .file("proc/sys/kernel/sched_rt_runtime_us", "950000\n")
            .file("proc/sys/kernel/sched_rt_period_us", "1000000\n")
            .file("proc/version", "Linux version 6.1.0 (x) #1 SMP PREEMPT_DYNAMIC x\n")
            .file(
                "proc/self/status",
                "Uid:\t1\t1\t1\t1\nGid:\t1\t1\t1\t1\nGroups:\t1\nCapEff:\t0\n",
            )
            .file("proc/self/limits", LIMITS)
            .file("sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "performance\n")
            .file("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n")
            .file(
                "sys/devices/system/clocksource/clocksource0/available_clocksource",
                "tsc jiffies\n",
            )
    }

    /// A Raspberry Pi with PWM on GPIO18 and 19, where everything is as it should be.
    fn good(model: &str, chip: &str, device: &str, kernel: &str, alt: &str) -> Machine {
        let gpiomem = if model.contains(" 5 ") { "dev/gpiomem0" } else { "dev/gpiomem" };
        let mut machine = Machine::laptop()
            .file("sys/firmware/devicetree/base/model", &format!("{model}\0"))
            .file("proc/sys/kernel/osrelease", kernel)
            .file(
                "boot/firmware/config.txt",
                "dtparam=audio=off\ndtoverlay=pwm-2chan\ngpio=22=op,dh\n",
            )
            .file(
                &format!("sys/class/pwm/{chip}/npwm"),
                if device.starts_with("1f") { "4\n" } else { "2\n" },
            )
            .file(&format!("sys/class/pwm/{chip}/export"), "")
            .file(gpiomem, "")
            .file("dev/gpiochip0", "")
            .file("usr/lib/udev/rules.d/60-lockstep.rules", "")
            .file(FIRMWARE, "0\n");
        symlink(
            format!("../../../{device}"),
            machine.path(&format!("sys/class/pwm/{chip}/device")),
        )
        .unwrap();
        machine.give_to_group(
            &[gpiomem, "dev/gpiochip0", &format!("sys/class/pwm/{chip}/export")],
            true,
        );
        let pwm = |gpio| PinSeen {
            gpio,
            function: PinFunction::Other(alt.to_owned()),
            level: Level::Low,
        };
        machine.pins = Ok(vec![pwm(18), pwm(19)]);
        machine
    }

    fn pi_4() -> Machine {
        let device = "fe20c000.pwm";
        Machine::good(
            "Raspberry Pi 4 Model B Rev 1.4",
            "pwmchip0",
            device,
            "6.6.31+rpt-rpi-v8",
            "ALT5",
        )
    }

    fn pi_3() -> Machine {
        let device = "3f20c000.pwm";
        Machine::good(
            "Raspberry Pi 3 Model B Rev 1.2",
            "pwmchip0",
            device,
            "6.6.31+rpt-rpi-v8",
            "ALT5",
        )
    }

    fn pi_5() -> Machine {
        let device = "1f00098000.pwm";
        Machine::good(
            "Raspberry Pi 5 Model B Rev 1.0",
            "pwmchip2",
            device,
            "6.6.31+rpt-rpi-2712",
            "ALT3",
        )
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.root.path().join(path)
    }

    fn file(self, path: &str, text: &str) -> Machine {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn without(self, path: &str) -> Machine {
        let path = self.path(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        self
    }

    /// The files belong to the group gpio, as udev would have it; the user is another than their owner,
    /// and in that group or not.
    fn give_to_group(&self, files: &[&str], member: bool) {
        let mut owner = (0, 0);
        for file in files {
            let path = self.path(file);
            // Whoever may not give files away tests with their own group.
            let _ = chown(&path, None, Some(997));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
            let metadata = fs::metadata(&path).unwrap();
            owner = (metadata.uid(), metadata.gid());
        }
        let user = owner.0 + 1;
        let groups = if member { owner.1 } else { owner.1 + 1 };
        let status =
            format!("Uid:\t{user}\t{user}\nGid:\t{groups}\t{groups}\nGroups:\t\nCapEff:\t0\n");
        fs::write(self.path("proc/self/status"), status).unwrap();
        fs::create_dir_all(self.path("etc")).unwrap();
        fs::write(self.path("etc/group"), format!("gpio:x:{}:\n", owner.1)).unwrap();
        fs::write(self.path("etc/passwd"), format!("pat:x:{user}:1::/:/bin/sh\n")).unwrap();
    }

    fn examine(&self, needs: Option<&Needs>) -> Vec<Finding> {
        examine(&Host::at(self.root.path()), self, needs, &[])
    }

    /// The checks that ask for something, each with its verdict.
    fn asks(&self, needs: Option<&Needs>) -> Vec<(&'static str, Verdict)> {
        let all = self.examine(needs);
        all.iter().filter(|f| f.verdict != Verdict::Ok).map(|f| (f.check, f.verdict)).collect()
    }

    /// The one finding that asks for something.
    fn only(&self, needs: &Needs) -> Finding {
        let mut all = self.examine(Some(needs));
        all.retain(|f| f.verdict != Verdict::Ok);
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }
}

const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     \n\
Max locked memory         unlimited            unlimited            bytes     \n\
Max realtime priority     50                   50                             \n";

fn pin(gpio: u8, who: &str, what: Use) -> PinNeed {
    PinNeed { gpio, who: who.to_owned(), what }
}

fn no_needs() -> Needs {
    Needs {
        board: None,
        pins: Vec::new(),
        config_txt: Vec::new(),
        commands: Vec::new(),
        step_rates: Vec::new(),
        max_lateness: Duration::from_millis(1),
        spin: 0.2,
        keeps_place: Vec::new(),
    }
}

/// A servo on GPIO18.
fn servo() -> Needs {
    let config_txt = vec!["dtoverlay=pwm,pin=18,func=2".to_owned(), "dtparam=audio=off".to_owned()];
    Needs { pins: vec![pin(18, "pan PWM", Use::Pwm)], config_txt, ..no_needs() }
}

/// An axis with its enable line on GPIO22, active when low.
fn axis() -> Needs {
    let pins = vec![
        pin(17, "x STEP", Use::Output),
        pin(27, "x DIR", Use::Output),
        pin(22, "x ENABLE", Use::Enable { active_low: true }),
    ];
    let config_txt = vec!["gpio=22=op,dh".to_owned()];
    Needs { pins, config_txt, step_rates: vec![("x".to_owned(), 8_000.0)], ..no_needs() }
}

/// A state folder that forgets matters to who wants a place back.
#[test]
fn a_state_folder_that_forgets_is_told() {
    let machine = Machine { forgets: Some("overlay"), ..Machine::pi_4() };
    assert!(machine.asks(Some(&axis())).is_empty());
    let finding = machine.only(&Needs { keeps_place: vec!["x".to_owned()], ..axis() });
    assert_eq!((finding.check, finding.verdict), ("state", Verdict::Advice));
    assert!(finding.says.contains("overlay") && finding.says.contains("x will not know"));
    assert!(finding.actions[0].contains("/var/lib/lockstep"));
    assert!(machine.asks(None).contains(&("state", Verdict::Advice)));
}
