//! What lies where the service keeps its files.

use std::os::unix::fs::symlink;

use crate::service_common::{Service, command, until};

const PAN: &str = "[servo.pan]\npwm = { gpio = 18 }\n";

/// A process that does not outlive its test, however that ends.
struct Started(std::process::Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("machine.toml"), PAN).unwrap();
    folder
}

/// What a service says that can't begin.
fn refused(folder: &tempfile::TempDir) -> String {
    let output = command(folder).stderr(std::process::Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    String::from_utf8(output.stderr).unwrap()
}

/// Whatever is no status page stays what it is.
#[test]
fn what_is_no_page_is_left_alone() {
    let folder = folder();
    let page = folder.path().join("status");
    std::fs::write(&page, "a letter").unwrap();
    let said = refused(&folder);
    assert!(said.contains("status: no status page lies there (it is something else)"), "{said}");
    assert_eq!(std::fs::read_to_string(&page).unwrap(), "a letter");
    let elsewhere = folder.path().join("elsewhere");
    std::fs::rename(&page, &elsewhere).unwrap();
    symlink(&elsewhere, &page).unwrap();
    let said = refused(&folder);
    assert!(said.contains("no status page lies there (it is a link)"), "{said}");
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "a letter");
    assert!(!folder.path().join("control.sock").exists(), "nothing is left behind");
}

/// Two services in one folder have a page each, and take away none but their own.
#[test]
fn each_service_has_its_own_page() {
    let first = Service::start(PAN);
    let (page, other) = (first.folder.path().join("status"), first.folder.path().join("b.status"));
    let socket = first.folder.path().join("b.sock");
    let config = first.folder.path().join("other.toml");
    std::fs::write(&config, PAN.replace("pan", "tilt")).unwrap();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .args(["serve", "--quiet", "--backend", "sim", "--config"])
        .args([config.as_os_str(), "--socket".as_ref(), socket.as_os_str()])
        .spawn();
    let mut second = Started(second.unwrap());
    let motors = |page: &std::path::Path| {
        lockstep::service::read_page(page).ok().map(|page| page.motors[0].name.clone())
    };
    until("both have written theirs", || {
        socket.exists()
            && (motors(&page), motors(&other)) == (Some("pan".to_owned()), Some("tilt".to_owned()))
    });
    // A page that has taken the place of its own is not its own.
    std::fs::remove_file(&other).unwrap();
    std::fs::write(&other, "a letter").unwrap();
    crate::service_common::signal(&second.0, "TERM");
    until("the other service ends", || second.0.try_wait().unwrap().is_some());
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "a letter");
    assert_eq!(motors(&page).as_deref(), Some("pan"));
    first.end();
    assert!(!page.exists());
}

/// A journal that is no file is an unclean end, at once; a config that is none is refused.
#[test]
fn strange_files_are_never_waited_for() {
    let mkfifo = |path: &std::path::Path| {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let folder = Service::start(PAN).end();
    let journal = folder.path().join("state/journal.json");
    std::fs::remove_file(&journal).unwrap();
    mkfifo(&journal);
    let mark = folder.path().join("state/journal.mark");
    let _ = std::fs::remove_file(&mark);
    mkfifo(&mark);
    let service = Service::start_in(folder);
    let said = service.ok(&["status"]);
    assert!(said.contains("can't be read (it is no regular file)"), "{said}");
    std::fs::remove_file(service.config()).unwrap();
    mkfifo(&service.config());
    let said = service.fails(2, &["reload"]);
    assert!(said.contains("can't read it (it is no regular file)"), "{said}");
    std::fs::remove_file(service.config()).unwrap();
    symlink("/dev/zero", service.config()).unwrap();
    assert!(service.fails(2, &["reload"]).contains("it is no regular file"));
    service.end();
}

/// Whoever reads some lines and goes has seen enough, also of a machine on which nothing happens.
#[test]
fn watch_ends_with_its_reader() {
    use std::io::{BufRead, BufReader};
    let service = Service::start(PAN);
    let watch = std::process::Command::new(env!("CARGO_BIN_EXE_lockstep"))
        .arg("watch")
        .env("LOCKSTEP_SOCKET", service.socket())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut watch = Started(watch.unwrap());
    let mut reader = BufReader::new(watch.0.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with('{'), "{line}");
    assert!(watch.0.try_wait().unwrap().is_none());
    drop(reader);
    until("watch ends", || watch.0.try_wait().unwrap().is_some_and(|status| status.success()));
    service.end();
}

#[test]
fn pages_are_named_after_their_sockets() {
    let page = |socket: &str| lockstep::service::status_page(std::path::Path::new(socket));
    for (socket, wanted) in [
        ("/run/lockstep/control.sock", "/run/lockstep/status"),
        ("/run/lockstep/rig.sock", "/run/lockstep/rig.status"),
        ("rig.left", "rig.left.status"),
        ("rig.right", "rig.right.status"),
    ] {
        assert_eq!(page(socket), std::path::Path::new(wanted));
    }
}
