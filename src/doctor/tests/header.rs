//! The board and the way to its header.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

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
