//! What decides how late a thread wakes up: limits, scheduler, clocks.

use super::header::version;
use super::host::{CAP_IPC_LOCK, CAP_SYS_NICE};
use super::{Finding, Host, Needs};
use crate::runtime::REALTIME_PRIORITY;

/// Whether the motors' threads will get real-time scheduling and locked memory.
pub(super) fn limits(host: &Host) -> Finding {
    const CHECK: &str = "real-time limits";
    let (Some(limits), Some(user)) = (host.read("proc/self/limits"), host.user()) else {
        return Finding::unknown(CHECK, "the system does not say what you may");
    };
    let soft = |name: &str| {
        let line = limits.lines().find_map(|l| l.strip_prefix(name))?;
        line.split_whitespace().next().map(str::to_owned)
    };
    let priority = soft("Max realtime priority").and_then(|p| match p.as_str() {
        "unlimited" => Some(99),
        number => number.parse::<u8>().ok(),
    });
    let realtime = user.has(CAP_SYS_NICE) || priority.is_some_and(|p| p >= REALTIME_PRIORITY);
    let locked =
        user.has(CAP_IPC_LOCK) || soft("Max locked memory").is_some_and(|l| l == "unlimited");
    let lacks = match (realtime, locked) {
        (true, true) => {
            return Finding::ok(CHECK, "real-time scheduling and locked memory are allowed");
        }
        (false, true) => "real-time scheduling is not allowed",
        (true, false) => "locked memory is not allowed",
        (false, false) => "neither real-time scheduling nor locked memory is allowed",
    };
    let says = format!(
        "{lacks} for {}: under load edges come later. The service has both; for `lockstep run`, enter these and \
         log in again",
        host.user_name(&user)
    );
    let line =
        |what| format!("echo '@gpio - {what}' | sudo tee -a /etc/security/limits.d/lockstep.conf");
    Finding::advice(CHECK, says)
        .act(line(format!("rtprio {}", REALTIME_PRIORITY + 1)))
        .act(line("memlock unlimited".to_owned()))
}

/// From here on a thread that makes steps may find no time to sleep: 33 us are left for two edges, and each
/// sleep with its wake-up costs several of them.
const BUSY_STEPS: f64 = 30_000.0;
/// The kernel throttles what takes more of a core: 950 ms of each second, as it is set everywhere.
const BUSY_SHARE: f64 = 0.9;

/// Whether the kernel will take a busy motor off its core.
pub(super) fn throttling(host: &Host, needs: Option<&Needs>) -> Finding {
    const CHECK: &str = "real-time throttling";
    let kernel = "proc/sys/kernel";
    let (Some(runtime), Some(period)) = (
        host.number(format!("{kernel}/sched_rt_runtime_us")),
        host.number(format!("{kernel}/sched_rt_period_us")),
    ) else {
        return Finding::unknown(CHECK, "the kernel does not say (sched_rt_runtime_us)");
    };
    let release = host.word("proc/sys/kernel/osrelease").unwrap_or_default();
    // Since 6.12 ordinary work has a server of its own, and the setting is for groups alone.
    let server = version(&release).is_some_and(|v| v >= (6, 12));
    if !server && (runtime < 0 || runtime >= period) {
        return Finding::ok(CHECK, "off: a thread that spins keeps its core");
    }
    let lost = if server { 50 } else { (period - runtime) * 1000 / period.max(1) };
    let means =
        format!("a motor whose thread keeps a core busy loses it for {lost} ms in each second");
    let busy = needs.and_then(|n| {
        if n.spin >= BUSY_SHARE && !n.step_rates.is_empty() {
            return Some(format!("`spin` takes {:.0} % of a core", n.spin * 100.0));
        }
        let (axis, rate) = n.fastest()?;
        (*rate >= BUSY_STEPS).then(|| format!("{axis} can make {rate:.0} steps a second"))
    });
    let Some(busy) = busy else {
        let says = match needs {
            Some(_) => format!("{means}; none of this config's does"),
            None => {
                format!("{means}: tens of thousands of steps a second do, or a `spin` above 90 %")
            }
        };
        return Finding::ok(CHECK, says);
    };
    let says = format!("{busy}, and {means}");
    match server {
        true => Finding::advice(
            CHECK,
            says + ". Keep ordinary work away from a core (`isolcpus=3` in cmdline.txt), or step more slowly",
        ),
        false => Finding::advice(CHECK, says + ". Step more slowly, or let it spin for ever:")
            .act("echo 'kernel.sched_rt_runtime_us = -1' | sudo tee /etc/sysctl.d/60-lockstep.conf")
            .act("sudo sysctl --system"),
    }
}

pub(super) fn governor(host: &Host) -> Finding {
    const CHECK: &str = "CPU governor";
    const FOLDER: &str = "sys/devices/system/cpu/cpufreq";
    let policies = host.names(FOLDER).into_iter().filter(|n| n.starts_with("policy"));
    let mut governors: Vec<String> =
        policies.filter_map(|p| host.word(format!("{FOLDER}/{p}/scaling_governor"))).collect();
    governors.sort();
    governors.dedup();
    match &governors[..] {
        [] => Finding::ok(CHECK, "none: the CPU's clock is not changed by the kernel"),
        [one] if one == "performance" => {
            Finding::ok(CHECK, "performance: the CPU's clock stays up")
        }
        several => {
            let says = format!(
                "{}: the CPU's clock goes up and down with its load, and a thread that wakes up on a slow one is \
                 late",
                several.join(", ")
            );
            let all = format!("/{FOLDER}/policy*/scaling_governor");
            Finding::advice(CHECK, says).act(format!("echo performance | sudo tee {all}"))
        }
    }
}

pub(super) fn preemption(host: &Host, needs: Option<&Needs>) -> Finding {
    const CHECK: &str = "preemption";
    let version = host.word("proc/version").unwrap_or_default();
    let has = |word: &str| version.split_whitespace().any(|w| w == word);
    if host.word("sys/kernel/realtime").as_deref() == Some("1") || has("PREEMPT_RT") {
        return Finding::ok(CHECK, "a real-time kernel (PREEMPT_RT)");
    }
    let kind = match (has("PREEMPT"), has("PREEMPT_DYNAMIC"), version.is_empty()) {
        (_, _, true) => return Finding::unknown(CHECK, "the kernel does not say"),
        (true, ..) => "PREEMPT",
        (_, true, _) => "PREEMPT_DYNAMIC",
        _ if needs.is_some_and(|n| n.step_rates.is_empty()) => {
            return Finding::ok(
                CHECK,
                "none in the kernel; hardware PWM makes this config's edges",
            );
        }
        _ => {
            let says = "the kernel can't be preempted: steps will be late at times. A kernel with PREEMPT or \
                        PREEMPT_RT does better";
            return Finding::advice(CHECK, says);
        }
    };
    Finding::ok(
        CHECK,
        format!("{kind}; a kernel with PREEMPT_RT would wake threads up sooner under load"),
    )
}

/// Clocks that take a microsecond or more to read, or that tick coarsely.
const SLOW_CLOCKS: [&str; 5] = ["jiffies", "refined-jiffies", "acpi_pm", "hpet", "pit"];

pub(super) fn clock_source(host: &Host) -> Finding {
    const CHECK: &str = "clock source";
    let folder = "sys/devices/system/clocksource/clocksource0";
    match host.word(format!("{folder}/current_clocksource")) {
        None => Finding::unknown(CHECK, "the kernel does not say"),
        Some(clock) if SLOW_CLOCKS.contains(&clock.as_str()) => {
            let others = host.word(format!("{folder}/available_clocksource")).unwrap_or_default();
            let says = format!(
                "{clock}: slow to read or coarse, so that every edge is late (there are: {others})"
            );
            Finding::advice(CHECK, says)
        }
        Some(clock) => Finding::ok(CHECK, clock),
    }
}
