//! Every shipped config passes its checks, and every wrong one gives the errors it should.

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
