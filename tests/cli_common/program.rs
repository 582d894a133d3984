//! The program, run to its end.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::process::{Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longer than any run of it takes on a busy computer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program with its arguments. It is given no input, and a minute.
pub struct Program(Command);

impl Program {
    /// Run from the project's folder, with no setting of the tester's own.
    pub fn new() -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.env_remove("RUST_LOG").current_dir(env!("CARGO_MANIFEST_DIR"));
        Program(command)
    }

    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Program {
        self.0.arg(arg);
        self
    }

    pub fn args<A: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = A>) -> &mut Program {
        self.0.args(args);
        self
    }

    pub fn env(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Program {
        self.0.env(name, value);
        self
    }

    /// Runs it: how it ended, and what it said.
    pub fn output(&mut self) -> io::Result<Output> {
        let piped = self.0.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn()?;
        let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
        let until = Instant::now() + PATIENCE;
        let status = loop {
            match child.try_wait()? {
                None if Instant::now() < until => thread::sleep(Duration::from_millis(2)),
                status => break status,
            }
        };
        if status.is_none() {
            child.kill()?;
        }
        let (stdout, stderr) = (stdout.join().unwrap()?, stderr.join().unwrap()?);
        let Some(status) = status else {
            panic!("{:?} does not end: {}", self.0, String::from_utf8_lossy(&stderr));
        };
        Ok(Output { status, stdout, stderr })
    }

    /// Runs it, to be judged by how it ended.
    pub fn assert(&mut self) -> Ended {
        Ended { output: self.output().unwrap(), command: format!("{:?}", self.0) }
    }
}

/// A run of the program that has ended.
pub struct Ended {
    output: Output,
    command: String,
}

impl Ended {
    pub fn success(self) -> Ended {
        self.code(0)
    }

    pub fn code(self, status: i32) -> Ended {
        let said = String::from_utf8_lossy(&self.output.stderr);
        assert_eq!(self.output.status.code(), Some(status), "{}: {said}", self.command);
        self
    }

    pub fn get_output(&self) -> &Output {
        &self.output
    }
}

fn read(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut bytes))?;
        Ok(bytes)
    })
}
