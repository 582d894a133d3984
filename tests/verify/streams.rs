//! A trace of any length is proved in bounded memory.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

#[path = "../../benches/common/endless.rs"]
mod endless;

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use endless::{Endless, FAST, STEPS};
use lockstep::config::Config;
use lockstep::trace::VcdReader;
use lockstep::verify::{Options, VerifyError, verify};

/// What the process may take at most, KiB.
const MOST: u64 = 32 << 10;

const ROUNDS: u64 = 12;

fn config() -> Config {
    Config::from_str(FAST, "test").unwrap().config
}

/// The most memory that a process has had, KiB.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_long_trace_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let config_file = folder.path().join("fast.toml");
    std::fs::write(&config_file, FAST).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .args(["verify", "/dev/stdin", "--config"])
        .arg(&config_file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut trace = Endless::new(config(), "round", ROUNDS);
    let mut pipe = child.stdin.take().unwrap();
    let bytes = io::copy(&mut trace, &mut pipe).unwrap();
    pipe.flush().unwrap();
    // All but what the pipe holds has been read.
    let most = peak(child.id());
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("clean: every bound holds"), "{text}");
    // Neither its text nor its records would fit.
    assert!(bytes.min(2 * ROUNDS * STEPS * 16) > 1024 * MOST, "{bytes} bytes");
    println!("{most} KiB");
    assert!(most < MOST, "{most} KiB for {bytes} bytes");
}

/// Bytes without an end, in place of what a trace has there.
struct Flood {
    head: &'static [u8],
    of: &'static [u8],
    left: usize,
}

impl Read for Flood {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.head.is_empty() {
            return self.head.read(into);
        }
        let n = into.len().min(self.left) / self.of.len() * self.of.len();
        into[..n].chunks_exact_mut(self.of.len()).for_each(|c| c.copy_from_slice(self.of));
        self.left -= n;
        Ok(n)
    }
}

/// What is no trace is refused before it has taken much memory.
#[test]
fn a_flood_is_refused() {
    let header = b"$timescale 1 ns $end $scope module x $end $var wire 1 ! step $end $var wire 1 & dir $end \
        $var real 64 p position $end $upscope $end $scope module machine $end $var string 1 m move $end \
        $upscope $end $enddefinitions $end #0\n";
    let mut word = header.to_vec();
    word.extend(b"s");
    let mut comment = header.to_vec();
    comment.extend(b"$comment ");
    let open: Vec<u8> = b"$timescale 1 ns $end $scope module x $end ".to_vec();
    for (head, of, why) in [
        (word, &b"abcd"[..], "a command of more than 1048576 bytes"),
        (comment, b"abcd", "a command of more than 1048576 bytes"),
        (open, b"$var wire 1 ! step $end ", "more than 65536 signals"),
        (header.to_vec(), b"1!\n0!\n", "more than 100000 changes in one instant, at 0.000000000 s"),
    ] {
        let flood = Flood { head: head.leak(), of, left: 1 << 30 };
        let begun = Instant::now();
        let error = verify(io::BufReader::new(flood), &config(), &Options::default()).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(matches!(error, VerifyError::Trace(_) | VerifyError::Crowded(_)));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
    // Comments are read, and not kept for ever.
    let mut reader = VcdReader::new(io::BufReader::new(Flood {
        head: header,
        of: b"$comment a $end\n",
        left: 16 << 12,
    }))
    .unwrap();
    assert!(reader.next().is_none());
    assert_eq!(reader.comments().len(), 1024);
}
