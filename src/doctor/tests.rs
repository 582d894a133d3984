//! The doctor on machines that are folders.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;

use super::host::LineUse;
use super::*;
use crate::hal::{Level, PinFunction, PinSeen};
use crate::motor::LatenessSummary;

/// A machine, and what its pins would say.
struct Machine {
    root: tempfile::TempDir,
    pins: Result<Vec<PinSeen>, String>,
    lines: Result<Vec<LineUse>, String>,
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
}

/// What `get_throttled` lies in on a Pi 4.
const FIRMWARE: &str = "sys/devices/platform/soc/soc:firmware/get_throttled";

impl Machine {
    /// A machine that is no Raspberry Pi, with nothing to complain of.
    fn laptop() -> Machine {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine { root, pins: Err("no pins".to_owned()), lines: Ok(Vec::new()) };
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

#[test]
fn good_machines_have_nothing_to_do() {
    for machine in [Machine::pi_3(), Machine::pi_4(), Machine::pi_5()] {
        for needs in [None, Some(servo()), Some(axis())] {
            assert_eq!(machine.asks(needs.as_ref()), [], "{:?}", machine.examine(needs.as_ref()));
        }
    }
}

#[test]
fn the_chip_of_a_pi_5_is_found_whatever_its_number() {
    let device = "1f00098000.pwm";
    let newer =
        Machine::good("Raspberry Pi 5 Model B Rev 1.0", "pwmchip0", device, "6.12.25", "ALT3");
    assert_eq!(newer.asks(Some(&servo())), []);
    let fan = "1f0009c000.pwm";
    let fan_alone =
        Machine::good("Raspberry Pi 5 Model B Rev 1.0", "pwmchip0", fan, "6.12.25", "ALT3");
    let finding = fan_alone.only(&servo());
    assert_eq!((finding.check, finding.verdict), ("PWM chip", Verdict::Todo));
}

#[test]
fn a_laptop_is_no_raspberry_pi_and_no_fault() {
    let laptop = Machine::laptop();
    for needs in [None, Some(axis()), Some(servo())] {
        let all = laptop.examine(needs.as_ref());
        assert!(!must_do(&all), "{all:?}");
        assert!(all[0].says.contains("no Raspberry Pi") && all[0].says.contains("simulator"));
        assert!(all.iter().all(|f| f.check != "overlay" && f.check != "power"));
        assert!(all.iter().any(|f| f.check == "preemption"));
    }
}

#[test]
fn a_config_for_another_board() {
    let needs = Needs { board: Some(Model::Pi5), ..axis() };
    let finding = Machine::pi_4().only(&needs);
    assert_eq!(finding.actions, ["board = \"pi-4\""]);
}

#[test]
fn a_missing_overlay_is_named() {
    let machine = Machine::pi_4()
        .file("boot/firmware/config.txt", "dtparam=audio=on\n[pi5]\ndtoverlay=pwm-2chan\n")
        .without("sys/class/pwm");
    let machine = Machine { pins: Ok(Vec::new()), ..machine };
    let asks = machine.asks(Some(&servo()));
    assert_eq!(
        asks,
        [("overlay", Verdict::Todo), ("PWM chip", Verdict::Todo), ("pin functions", Verdict::Todo)]
    );
    let all = machine.examine(Some(&servo()));
    let overlay = all.iter().find(|f| f.check == "overlay").unwrap();
    assert_eq!(overlay.actions, ["dtoverlay=pwm,pin=18,func=2"]);
    assert!(overlay.says.contains("GPIO18") && overlay.says.contains("/boot/firmware/config.txt"));
    // In the file already: what is left is the reboot.
    let machine = machine.file("boot/firmware/config.txt", "dtoverlay=pwm,pin=18,func=2\n");
    let all = machine.examine(Some(&servo()));
    assert!(all.iter().any(|f| f.check == "PWM chip" && f.says.contains("reboot")), "{all:?}");
    assert!(all.iter().any(|f| f.check == "overlay" && f.verdict == Verdict::Ok), "{all:?}");
    // Nothing of it matters to an axis.
    assert_eq!(machine.asks(Some(&axis())), [("enable lines at boot", Verdict::Advice)]);
}

#[test]
fn pins_that_no_overlay_reaches_get_a_command() {
    let mut needs = servo();
    needs.pins = vec![pin(14, "pan PWM", Use::Pwm)];
    needs.config_txt = vec!["dtoverlay=pwm,pin=12,func=4".to_owned()];
    needs.commands = vec!["pinctrl set 14 a0".to_owned()];
    let finding = Machine::pi_5().only(&needs);
    assert_eq!((finding.check, finding.verdict), ("pin functions", Verdict::Todo));
    assert_eq!(finding.actions, ["pinctrl set 14 a0"]);
}

#[test]
fn a_chip_with_too_few_channels() {
    let machine = Machine::pi_5().file("sys/class/pwm/pwmchip2/npwm", "2\n");
    let finding = machine.only(&Needs { pins: vec![pin(19, "pan PWM", Use::Pwm)], ..servo() });
    assert!(finding.check == "PWM chip" && finding.says.contains("channel 3"), "{finding:?}");
}

#[test]
fn a_signal_that_a_dead_program_left() {
    let enable = "sys/class/pwm/pwmchip0/pwm0/enable";
    let machine = Machine::pi_4().file(enable, "1\n");
    let finding = machine.only(&servo());
    assert_eq!(
        (finding.verdict, finding.actions[0].as_str()),
        (Verdict::Todo, "sudo lockstep safe")
    );
    // The service's own signal is no matter; nor is a channel at rest.
    let procs = "sys/fs/cgroup/system.slice/lockstep.service/cgroup.procs";
    let unit = "usr/lib/systemd/system/lockstep.service";
    let all = machine.file(procs, "812\n").file(unit, "").examine(Some(&servo()));
    assert!(all.iter().any(|f| f.check == "PWM chip" && f.verdict == Verdict::Ok), "{all:?}");
    assert_eq!(Machine::pi_4().file(enable, "0\n").asks(Some(&servo())), []);
}

#[test]
fn analog_audio_on_a_pi_3() {
    let on =
        Machine::pi_3().file("boot/firmware/config.txt", "dtparam=audio=on\ndtoverlay=pwm-2chan\n");
    let finding = on.only(&servo());
    assert_eq!((finding.check, finding.verdict), ("audio", Verdict::Todo));
    assert_eq!(finding.actions, ["dtparam=audio=off"]);
    let cards = " 0 [Headphones     ]: bcm2835_headpho - bcm2835 Headphones\n";
    let not_yet = Machine::pi_3().file("proc/asound/cards", cards);
    assert!(not_yet.only(&servo()).says.ends_with("reboot"));
    // The Pi 4's audio has a block of its own.
    let other = Machine::pi_4().file("proc/asound/cards", cards);
    assert_eq!(other.asks(Some(&servo())), []);
    let hdmi = " 0 [vc4hdmi0       ]: vc4-hdmi - vc4-hdmi-0\n";
    assert_eq!(Machine::pi_3().file("proc/asound/cards", hdmi).asks(Some(&servo())), []);
}

#[test]
fn permissions() {
    let machine = Machine::pi_4();
    machine.give_to_group(&["dev/gpiomem", "dev/gpiochip0"], false);
    let finding = machine.only(&axis());
    assert_eq!((finding.check, finding.verdict), ("permissions", Verdict::Todo));
    assert_eq!(finding.actions, ["sudo usermod -aG gpio pat"]);
    // No group could help.
    fs::set_permissions(machine.path("dev/gpiomem"), fs::Permissions::from_mode(0o600)).unwrap();
    let finding = machine.only(&axis());
    assert!(finding.says.contains("udev rules") && finding.actions.is_empty(), "{finding:?}");
    // Root may, whatever the bits say.
    let root = "Uid:\t0\t0\nGid:\t0\t0\nGroups:\t0\nCapEff:\t000001ffffffffff\n";
    assert_eq!(machine.file("proc/self/status", root).asks(Some(&axis())), []);
    // PWM counts for those who need it.
    let machine = Machine::pi_4();
    fs::set_permissions(
        machine.path("sys/class/pwm/pwmchip0/export"),
        fs::Permissions::from_mode(0o200),
    )
    .unwrap();
    assert_eq!(machine.asks(Some(&axis())), []);
    assert_eq!(machine.only(&servo()).check, "permissions");
    // Another kernel.
    let finding = Machine::pi_4().without("dev/gpiomem").only(&axis());
    assert!(finding.says.contains("/dev/gpiomem is missing"), "{finding:?}");
}

#[test]
fn channels_open_slowly_without_the_rules() {
    let machine = Machine::pi_4().without("usr/lib/udev/rules.d/60-lockstep.rules");
    assert_eq!(machine.asks(Some(&axis())), []);
    let finding = machine.only(&servo());
    assert_eq!((finding.check, finding.verdict), ("permissions", Verdict::Advice));
}

#[test]
fn another_consumer_of_a_pin() {
    let used = |gpio, consumer: &str| Ok(vec![LineUse { gpio, consumer: consumer.to_owned() }]);
    let machine = Machine { lines: used(17, "spi0 CS1"), ..Machine::pi_4() };
    let finding = machine.only(&axis());
    assert_eq!((finding.check, finding.verdict), ("pin users", Verdict::Todo));
    assert!(finding.says.contains("GPIO17 (x STEP) is used by `spi0 CS1`"), "{finding:?}");
    // Elsewhere, or by the PWM driver, it does not matter.
    assert_eq!(Machine { lines: used(4, "w1"), ..Machine::pi_4() }.asks(Some(&axis())), []);
    assert_eq!(Machine { lines: used(18, ""), ..Machine::pi_4() }.asks(Some(&servo())), []);
    let exported = Machine::pi_4().file("sys/class/gpio/gpio27/value", "0\n");
    assert!(exported.only(&axis()).says.contains("GPIO27 (x DIR) is exported"));
    // What can't be known is said.
    let blind = Machine { lines: Err("Permission denied".to_owned()), ..Machine::pi_4() };
    assert_eq!(blind.asks(Some(&axis())), [("pin users", Verdict::Unknown)]);
    // A daemon that drives pins past the kernel.
    let daemon = Machine::pi_4().file("proc/512/comm", "pigpiod\n");
    let finding = daemon.only(&axis());
    assert_eq!(finding.actions, ["sudo systemctl disable --now pigpiod"]);
    // Its own service has its pins.
    let lines = used(22, "rppal");
    let own = Machine { lines, ..Machine::pi_4().file("proc/812/comm", "lockstep\n") };
    assert_eq!(own.asks(Some(&axis())), []);
}

#[test]
fn a_pin_that_a_driver_has() {
    let spi =
        PinSeen { gpio: 17, function: PinFunction::Other("ALT4".to_owned()), level: Level::Low };
    let machine = Machine { pins: Ok(vec![spi]), ..Machine::pi_4() };
    let finding = machine.only(&axis());
    assert_eq!((finding.check, finding.verdict), ("pin functions", Verdict::Advice));
    assert!(finding.says.contains("GPIO17 (x STEP) is ALT4"), "{finding:?}");
}

#[test]
fn enable_lines_at_boot() {
    let plain = "dtoverlay=pwm-2chan\n";
    let machine = Machine::pi_4().file("boot/firmware/config.txt", plain);
    let finding = machine.only(&axis());
    assert_eq!((finding.check, finding.verdict), ("enable lines at boot", Verdict::Advice));
    assert_eq!(finding.actions, ["gpio=22=op,dh"]);
    assert!(finding.says.contains("GPIO22: the driver has power"), "{finding:?}");
    // The wrong level is no better.
    let wrong = Machine::pi_4().file("boot/firmware/config.txt", "gpio=22=op,dl\n");
    assert_eq!(wrong.only(&axis()).actions, ["gpio=22=op,dh"]);
    // A pull-up of the driver's board holds it high.
    let high = PinSeen { gpio: 22, function: PinFunction::Input, level: Level::High };
    let machine = Machine { pins: Ok(vec![high]), ..machine };
    assert!(machine.only(&axis()).says.contains("pull-up"));
}

#[test]
fn an_old_place_of_config_txt() {
    let machine = Machine::pi_4().without("boot/firmware/config.txt");
    assert_eq!(machine.asks(Some(&axis())), [("enable lines at boot", Verdict::Unknown)]);
    // The overlay works, wherever it comes from.
    assert_eq!(machine.asks(Some(&servo())), []);
    let machine = machine.file("boot/config.txt", "gpio=22=op,dh\n");
    assert_eq!(machine.asks(Some(&axis())), []);
}

#[test]
fn limits_of_the_user() {
    let limits = |text: &str| Machine::pi_4().file("proc/self/limits", text);
    let none = limits(
        "Max locked memory         8388608  8388608  bytes\nMax realtime priority     0  0\n",
    );
    let finding = none.only(&axis());
    assert_eq!((finding.verdict, finding.actions.len()), (Verdict::Advice, 2));
    assert!(finding.actions[0].contains("rtprio 50"), "{finding:?}");
    let high = limits(
        "Max locked memory         unlimited unlimited bytes\nMax realtime priority 48 48\n",
    );
    assert!(high.only(&axis()).says.starts_with("real-time scheduling is not allowed"));
}

#[test]
fn real_time_throttling_is_said_to_those_it_hits() {
    let fast = Needs { step_rates: vec![("x".to_owned(), 50_000.0)], ..axis() };
    let finding = Machine::pi_4().only(&fast);
    assert_eq!((finding.check, finding.verdict), ("real-time throttling", Verdict::Advice));
    assert!(
        finding.says.contains("50000 steps a second") && finding.says.contains("50 ms"),
        "{finding:?}"
    );
    let spins = Needs { spin: 1.0, ..axis() };
    assert!(Machine::pi_4().only(&spins).says.contains("100 % of a core"));
    let off = Machine::pi_4().file("proc/sys/kernel/sched_rt_runtime_us", "-1\n");
    assert_eq!(off.asks(Some(&fast)), []);
    // Newer kernels serve ordinary work whatever the setting says.
    let newer = off.file("proc/sys/kernel/osrelease", "6.12.25+rpt-rpi-v8\n");
    assert!(newer.only(&fast).says.contains("isolcpus"));
    assert_eq!(newer.asks(Some(&axis())), []);
}

#[test]
fn clocks_and_kernels() {
    let governor = "sys/devices/system/cpu/cpufreq/policy0/scaling_governor";
    assert_eq!(Machine::pi_4().file(governor, "ondemand\n").only(&axis()).check, "CPU governor");
    let clock = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    assert_eq!(Machine::pi_4().file(clock, "jiffies\n").only(&axis()).check, "clock source");
    let version = |v: &str| Machine::pi_4().file("proc/version", &format!("Linux version 6 {v}\n"));
    assert_eq!(version("#1 SMP x").only(&axis()).check, "preemption");
    assert_eq!(version("#1 SMP x").asks(Some(&servo())), []);
    assert_eq!(version("#1 SMP PREEMPT_RT x").asks(Some(&axis())), []);
    let old = Machine::pi_4().file("proc/sys/kernel/osrelease", "5.15.84-v8+\n");
    assert_eq!(old.only(&servo()).check, "kernel");
    assert_eq!(old.asks(Some(&axis())), []);
}

#[test]
fn supply_and_temperature() {
    for (bits, word) in [("50005", "under-voltage"), ("80000", "temperature"), ("10000", "supply")]
    {
        let finding = Machine::pi_4().file(FIRMWARE, bits).only(&axis());
        assert_eq!((finding.check, finding.verdict), ("power", Verdict::Advice));
        assert!(finding.says.contains(word), "{finding:?}");
    }
    let machine = Machine::pi_4().without("sys/devices/platform");
    assert_eq!(machine.asks(Some(&axis())), [("power", Verdict::Unknown)]);
    let monitor = machine.file("sys/class/hwmon/hwmon1/name", "rpi_volt\n");
    let good = monitor.file("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n");
    assert_eq!(good.asks(Some(&axis())), []);
    let weak = good.file("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
    assert_eq!(weak.only(&axis()).verdict, Verdict::Advice);
}

#[test]
fn the_service_and_its_socket() {
    let unit = "usr/lib/systemd/system/lockstep.service";
    let installed = Machine::pi_4().file(unit, "");
    assert_eq!(installed.asks(Some(&axis())), []);
    let wanted = "etc/systemd/system/multi-user.target.wants/lockstep.service";
    let enabled = installed.file(wanted, "").file("etc/lockstep/lockstep.toml", "");
    let finding = enabled.only(&axis());
    assert!(
        finding.check == "service" && finding.actions[0].starts_with("journalctl"),
        "{finding:?}"
    );
    let procs = "sys/fs/cgroup/system.slice/lockstep.service/cgroup.procs";
    let running = enabled.file(procs, "812\n");
    assert_eq!(running.only(&axis()).check, "socket");
    let folder = running.path("run/lockstep");
    fs::create_dir_all(&folder).unwrap();
    let listener = UnixListener::bind(folder.join("control.sock")).unwrap();
    let files = ["dev/gpiomem", "dev/gpiochip0", "sys/class/pwm/pwmchip0/export"];
    running.give_to_group(&[&files[..], &["run/lockstep/control.sock"]].concat(), true);
    assert_eq!(running.asks(Some(&axis())), []);
    drop(listener);
    assert!(running.only(&axis()).says.contains("nobody listens"));
}

fn rates(p999: &[u64]) -> Vec<RateSeen> {
    let seen = |p999: u64| LatenessSummary {
        count: 1000,
        p50: p999 / 2,
        p999,
        max: p999 * 2,
        ..Default::default()
    };
    let rate = |(&rate, &p999): (&u32, &u64)| RateSeen { rate, seen: seen(p999), realtime: true };
    STEP_RATES.iter().zip(p999).map(rate).collect()
}

#[test]
fn the_highest_safe_rate() {
    let of = |p999: &[u64], max| lateness::safe_rate(&rates(p999), max).map(|r| r.rate);
    let ms = Duration::from_millis(1);
    // A fifth of the time between two steps: 200, 100, 40, 20, 10, 5 us.
    assert_eq!(of(&[200_000, 100_000, 40_000, 20_000, 10_000, 5_000], ms), Some(40_000));
    assert_eq!(of(&[200_000, 100_000, 40_000, 20_001, 10_000, 5_000], ms), Some(5_000));
    assert_eq!(of(&[200_001; 6], ms), None);
    assert_eq!(of(&[100_000; 6], Duration::from_micros(199)), None);
    assert_eq!(of(&[], ms), None);
}

#[test]
fn lateness_against_what_the_config_asks_for() {
    let slow = rates(&[100_000, 90_000, 600_000, 600_000, 600_000, 600_000]);
    let find =
        |rates: &[RateSeen], needs: &Needs, on| lateness::lateness(rates, Some(needs), on).unwrap();
    // 8000 steps a second, as 10,000 were: later than a move bears.
    let finding = find(&slow, &axis(), true);
    assert_eq!(finding.verdict, Verdict::Todo);
    assert!(finding.says.starts_with("up to 2000 steps a second are safe"), "{finding:?}");
    assert_eq!(find(&slow, &axis(), false).verdict, Verdict::Advice);
    let patient = Needs { max_lateness: Duration::from_millis(5), ..axis() };
    assert_eq!(find(&slow, &patient, true).verdict, Verdict::Advice);
    let slower = Needs { step_rates: vec![("x".to_owned(), 1_500.0)], ..axis() };
    assert_eq!(find(&slow, &slower, true).verdict, Verdict::Ok);
    assert_eq!(find(&rates(&[1_000; 6]), &axis(), true).verdict, Verdict::Ok);
    assert_eq!(find(&rates(&[900_000; 6]), &servo(), true).verdict, Verdict::Ok);
    assert_eq!(lateness::lateness(&[], Some(&axis()), true), None);
}
