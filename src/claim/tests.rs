use std::fs;

use super::*;

const NOW: Duration = Duration::ZERO;

fn two() -> (tempfile::TempDir, Vec<PathBuf>) {
    let root = tempfile::tempdir().unwrap();
    let folders = vec![root.path().join("a"), root.path().join("b")];
    (root, folders)
}

#[test]
fn one_process_at_a_time() {
    let (_root, folders) = two();
    let claim = Claim::take_in(&folders, NOW).unwrap();
    assert_eq!(claim.folder(), Some(folders[0].as_path()));
    // Also through the second folder alone.
    for some in [&folders[..], &folders[1..]] {
        let taken = Claim::take_in(some, NOW);
        assert!(matches!(taken, Err(ClaimError::Taken { .. })), "{taken:?}");
    }
    let error = Claim::take_in(&folders, NOW).unwrap_err().to_string();
    let process = std::process::id();
    assert!(error.starts_with(&format!("another lockstep (process {process}) drives")), "{error}");
    // One that goes in time was only on its way out.
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(30));
            drop(claim);
        });
        Claim::take_in(&folders, Duration::from_secs(20)).unwrap();
    });
}

#[test]
fn the_copy_is_the_text_and_the_newest_counts() {
    let (_root, folders) = two();
    assert_eq!(last_accepted_in(&folders), None);
    let text = "[servo.pan]\npwm = { gpio = 18 }";
    let claim = Claim::take_in(&folders, NOW).unwrap();
    let path = claim.keep(text, "/etc/a.toml", "[1]").unwrap().unwrap();
    let kept = last_accepted_in(&folders).unwrap();
    assert_eq!((kept.path, kept.came_from.as_deref()), (path, Some("/etc/a.toml")));
    assert!(kept.text.starts_with(text));
    let same = |text: &str| crate::config::Config::from_str(text, "t").unwrap().config;
    assert_eq!(same(&kept.text), same(text));
    drop(claim);
    std::thread::sleep(std::time::Duration::from_millis(20));
    let other = Claim::take_in(&folders[1..], NOW).unwrap();
    other.keep("# another", "b\n.toml", "[2]").unwrap();
    let kept = last_accepted_in(&folders).unwrap();
    assert!(kept.text.starts_with("# another"));
    assert_eq!(kept.came_from.as_deref(), Some("b\\n.toml"));
}

#[test]
fn who_drove_last_is_known_also_when_others_made_it_safe() {
    let (_root, folders) = two();
    let mut first = Claim::take_in(&folders, NOW).unwrap();
    assert_eq!((first.drove(), first.signature()), (None, None));
    first.drive();
    let signature = first.signature().unwrap().to_owned();
    drop(first);
    // It only looks.
    drop(Claim::take_in(&folders, NOW).unwrap());
    let mut next = Claim::take_in(&folders, NOW).unwrap();
    assert_eq!(next.drove(), Some(signature.as_str()));
    next.drive();
    assert_ne!(next.signature(), Some(signature.as_str()));
}

/// Between two configs both count; after it one.
#[test]
fn a_change_is_seen_until_it_is_over() {
    let (_root, folders) = two();
    let claim = Claim::take_in(&folders, NOW).unwrap();
    let kept = |text: &str| last_accepted_in(&folders).unwrap().text.starts_with(text);
    let next = || last_accepted_in(&folders).unwrap().changing().cloned();
    claim.keep("# one", "a", "[1]").unwrap();
    assert_eq!(next(), None);
    for (holds, text) in [(false, "# one"), (true, "# two")] {
        claim.changing("# two", "b", "[2]").unwrap();
        assert!(kept("# one"));
        let both = next().unwrap();
        assert_eq!(both.outputs(), Some("[2]"));
        assert!(both.text.starts_with("# two"));
        assert_eq!(both.came_from.as_deref(), Some("b"));
        claim.changed(holds).unwrap();
        assert!(kept(text) && next().is_none());
        let list = if holds { "[2]" } else { "[1]" };
        assert_eq!(last_accepted_in(&folders).unwrap().outputs(), Some(list));
    }
    // Whoever comes next has made the dead one's outputs safe.
    claim.changing("# three", "b", "[3]").unwrap();
    claim.keep("# four", "c", "[4]").unwrap();
    assert_eq!(next(), None);
    // An earlier release knows nothing of lists: what lies there is not about its config.
    let path = last_accepted_in(&folders).unwrap().path;
    fs::write(&path, "# five\n\n# accepted from d\n").unwrap();
    let earlier = last_accepted_in(&folders).unwrap();
    assert_eq!((earlier.outputs(), earlier.came_from.as_deref()), (None, Some("d")));
    assert_eq!(earlier.any_outputs(), Some("[4]"));
}

/// Whoever may write into the folder gets nobody to write elsewhere, or to read what never ends.
#[test]
fn what_lies_there_instead_is_refused() {
    let (root, folders) = two();
    let target = root.path().join("target");
    fs::write(&target, "precious").unwrap();
    for folder in &folders {
        fs::create_dir(folder).unwrap();
    }
    let lock = folders[0].join(LOCK);
    std::os::unix::fs::symlink(&target, &lock).unwrap();
    let said = Claim::take_in(&folders, NOW).unwrap_err().to_string();
    assert!(said.contains("lock: it is a link"), "{said}");
    fs::remove_file(&lock).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
    let said = Claim::take_in(&folders, NOW).unwrap_err().to_string();
    assert!(said.contains("lock: it is no regular file"), "{said}");
    fs::remove_file(&lock).unwrap();
    let claim = Claim::take_in(&folders, NOW).unwrap();
    for name in [ACCEPTED, ACCEPTED_OUTPUTS, CHANGING, CHANGING_OUTPUTS] {
        let (path, new) = (folders[0].join(name), folders[0].join(format!(".{name}.new")));
        std::os::unix::fs::symlink(&target, path).unwrap();
        std::os::unix::fs::symlink(&target, new).unwrap();
    }
    assert_eq!(last_accepted_in(&folders), None);
    claim.keep("# one", "a", "[1]").unwrap();
    claim.changing("# two", "b", "[2]").unwrap();
    let kept = last_accepted_in(&folders).unwrap();
    assert_eq!((kept.outputs(), kept.changing().unwrap().outputs()), (Some("[1]"), Some("[2]")));
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
}

#[test]
fn without_a_folder_there_is_no_copy_and_still_a_claim() {
    let root = tempfile::tempdir().unwrap();
    let claim = Claim::take_in(&[root.path().join("no/such/parent")], NOW).unwrap();
    assert_eq!(claim.folder(), None);
    assert_eq!(claim.keep("x", "y", "z").unwrap(), None);
}
