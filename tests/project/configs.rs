//! Every shipped config passes its checks, and every wrong one gives the errors it should.

#![allow(clippy::unwrap_used)] // a helper of tests

use std::path::{Path, PathBuf};

use lockstep::config::Config;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    all.sort();
    all
}

#[test]
fn every_shipped_config_is_right() {
    let all = files("config");
    assert!(all.len() >= 4);
    for file in all {
        let loaded = Config::from_file(&file).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(Some(loaded.config.machine.name.as_str()), file.file_stem().unwrap().to_str());
        let start = loaded.config.machine.start_program.as_deref().unwrap();
        assert!(loaded.config.program(start).is_some());
    }
}

/// The errors of a wrong config stand beside it, in a file of the same name.
#[test]
fn every_wrong_config_gives_the_errors_beside_it() {
    let all = files("tests/wrong");
    assert!(all.len() >= 25);
    let mut failed = Vec::new();
    for file in all {
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let found = match Config::from_str(&text, name) {
            Ok(_) => "no error\n".to_owned(),
            Err(errors) => format!("{errors}\n"),
        };
        let expected = std::fs::read_to_string(file.with_extension("expected")).unwrap_or_default();
        if found != expected {
            failed.push(format!("{name}: expected\n{expected}\nbut found\n{found}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
