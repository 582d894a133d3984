//! What decides how late steps come, and the service.

use std::fs;
use std::os::unix::net::UnixListener;

use super::*;
use crate::motor::LatenessSummary;

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
