use std::fmt;

/// What the system granted the motors' threads, and what to do where it did not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Granted {
    /// SCHED_FIFO at this priority, or why not.
    pub realtime: Result<u8, String>,
    /// Memory locked, or why not.
    pub locked: Result<(), String>,
}

impl fmt::Display for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.realtime {
            Ok(priority) => write!(f, "real-time scheduling: SCHED_FIFO priority {priority}")?,
            Err(why) => write!(
                f,
                "real-time scheduling: refused ({why}), edges will be later under load; \
                 allow it with LimitRTPRIO=50 in the unit, or `ulimit -r 50`, or run as root"
            )?,
        }
        match &self.locked {
            Ok(()) => write!(f, "; memory: locked"),
            Err(why) => write!(
                f,
                "; memory: not locked ({why}), a page fault may delay an edge; \
                 allow it with LimitMEMLOCK=infinity in the unit, or `ulimit -l unlimited`"
            ),
        }
    }
}

/// The priority that motors' threads ask for: above ordinary interrupt threads' work for user space,
/// below the kernel's own (50 is where threaded interrupt handlers run).
pub(crate) const PRIORITY: u8 = 49;

#[cfg(target_os = "linux")]
mod imp {
    use thread_priority::unix::{
        RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
        thread_native_id,
    };
    use thread_priority::{ThreadPriority, ThreadPriorityValue};

    /// Asks for SCHED_FIFO for the calling thread.
    pub fn realtime(priority: u8) -> Result<u8, String> {
        let value = ThreadPriorityValue::try_from(priority).map_err(|e| e.to_string())?;
        set_thread_priority_and_policy(
            thread_native_id(),
            ThreadPriority::Crossplatform(value),
            ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo),
        )
        .map(|()| priority)
        .map_err(|e| format!("{e:?}"))
    }

    /// Locks what the process has mapped, and what it will map where no limit could make a later
    /// allocation fail for it.
    pub fn lock_memory() -> Result<(), String> {
        use rustix::mm::MlockAllFlags;
        use rustix::process::{Resource, geteuid, getrlimit};
        let unlimited = getrlimit(Resource::Memlock).current.is_none() || geteuid().is_root();
        let later = if unlimited { MlockAllFlags::FUTURE } else { MlockAllFlags::empty() };
        rustix::mm::mlockall(MlockAllFlags::CURRENT | later).map_err(|e| e.to_string())
    }

    /// Without real-time scheduling the kernel may round the calling thread's timers up by 50 us to
    /// save power; this asks it not to.
    pub fn exact_timers() {
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    pub fn realtime(_priority: u8) -> Result<u8, String> {
        Err("this system has no SCHED_FIFO".into())
    }

    pub fn lock_memory() -> Result<(), String> {
        Err("this system has no mlockall".into())
    }

    pub fn exact_timers() {}
}

pub(super) use imp::{exact_timers, lock_memory, realtime};
