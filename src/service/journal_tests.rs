use super::*;
use proptest::prelude::*;
use serde_json::json;

const TEXT: &str = "[axis.x]\nstep = { gpio = 17 }\ndir = { gpio = 27 }\ndriver = \"drv8825\"\n\
    steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
    travel = { min = \"0mm\", max = \"200mm\" }\nmax-speed = \"50mm/s\"\n\
    max-acceleration = \"500mm/s^2\"\nat-start = \"restored\"\n\
    [servo.pan]\npwm = { gpio = 18 }\nstartup = \"last\"\n";

fn config(text: &str) -> Config {
    Config::from_str(text, "t").unwrap().config
}

fn kept(value: serde_json::Value) -> Kept {
    serde_json::from_value(value).unwrap()
}

fn stand(steps: i64, angle: f64) -> BTreeMap<String, Kept> {
    let x = kept(json!({ "steps": steps, "sure": true }));
    let pan = kept(json!({ "angle": angle, "sure": true }));
    [("x".to_owned(), x), ("pan".to_owned(), pan)].into()
}

fn read(folder: &tempfile::TempDir) -> Journal {
    Journal::read(folder.path(), "sim", None, None).in_boot("a")
}

/// What a service notes while it runs: both motors at rest.
fn runs(folder: &tempfile::TempDir, why: Option<&str>, stand: &BTreeMap<String, Kept>) -> u64 {
    let stand = stood(&config(TEXT).motors, stand);
    read(folder).begin(&mut Folder::new(folder.path()), why, &stand).unwrap()
}

#[test]
fn places_outlive_a_clean_end_and_no_crash() {
    let (folder, config) = (tempfile::tempdir().unwrap(), config(TEXT));
    let first = read(&folder);
    assert_eq!((first.unclean(), first.places(&config).len()), (None, 0));
    runs(&folder, None, &stand(1, 1.0));
    assert!(read(&folder).unclean().unwrap().starts_with("the service did not end cleanly"));
    assert!(read(&folder).places(&config).is_empty());
    let in_fault = |why: &str| first.end_in_fault(why, &config, &stand(1, 1.0)).unwrap();
    in_fault("y: the driver reports a fault");
    let why = "the service ended before in a fault: y: the driver reports a fault";
    assert_eq!(read(&folder).unclean().as_deref(), Some(why));
    // Not cleared, and ended again: the same is said.
    in_fault(why);
    assert_eq!(read(&folder).unclean().as_deref(), Some(why));
    // So it is after a crash, also in another boot.
    in_fault(NOT_CLEAN);
    let next = read(&folder).in_boot("b");
    assert_eq!(next.unclean().as_deref(), Some(NOT_CLEAN));
    assert!(next.places(&config).is_empty() && !next.power_was_cut());
    first.end(&config, &stand(4000, 12.5)).unwrap();
    let next = read(&folder);
    assert_eq!((next.unclean(), next.places(&config)), (None, stand(4000, 12.5)));
    // A machine that was shut down in good order has another boot, and no more.
    let next = next.in_boot("b");
    assert_eq!((next.unclean(), next.places(&config)), (None, stand(4000, 12.5)));
    // From its begin on nothing is known until its own end.
    runs(&folder, None, &BTreeMap::new());
    assert!(read(&folder).places(&config).is_empty());
}

#[test]
fn a_cut_is_no_crash() {
    let (folder, config) = (tempfile::tempdir().unwrap(), config(TEXT));
    let stood = stand(4000, 12.5);
    let number = runs(&folder, None, &stood);
    let cut = read(&folder).in_boot("b");
    assert!(cut.power_was_cut() && cut.unclean().unwrap().contains("power cut"));
    assert_eq!(cut.places(&config), stood);
    // Who has left: an axis is where it was, perhaps; a servo may be anywhere.
    let mut disk = Folder::new(folder.path());
    disk.mark(&mark::block(number, &[true, true])).unwrap();
    let moved = read(&folder).in_boot("b").places(&config);
    assert_eq!(moved, [("x".to_owned(), Kept { sure: false, ..stood["x"] })].into());
    disk.mark(&mark::block(number, &[false, true])).unwrap();
    let moved = read(&folder).in_boot("b").places(&config);
    assert_eq!((moved["pan"], moved["x"].sure), (stood["pan"], false));
    // A block that is torn, or gone, hides nobody.
    for torn in [b"gibberish".to_vec(), Vec::new()] {
        std::fs::write(folder.path().join("journal.mark"), torn).unwrap();
        assert!(!read(&folder).in_boot("b").places(&config)["x"].sure);
    }
    std::fs::remove_file(folder.path().join("journal.mark")).unwrap();
    assert!(!read(&folder).in_boot("b").places(&config)["x"].sure);
    // In the same boot it was a crash, and where no boot is known.
    disk.mark(&mark::block(number, &[false, false])).unwrap();
    let crash = read(&folder);
    assert!(!crash.power_was_cut() && crash.places(&config).is_empty());
    let unknown = Journal { boot: None, ..read(&folder) };
    assert!(!unknown.power_was_cut() && unknown.places(&config).is_empty());
}

#[test]
fn a_fault_outlives_a_cut_and_so_does_a_crash() {
    let (folder, config) = (tempfile::tempdir().unwrap(), config(TEXT));
    for (why, said) in [
        ("x: the driver reports a fault", "in a fault: x: the driver reports a fault"),
        (NOT_CLEAN, NOT_CLEAN),
    ] {
        runs(&folder, Some(why), &stand(1, 1.0));
        let cut = read(&folder).in_boot("b");
        assert!(!cut.power_was_cut() && cut.unclean().unwrap().contains(said));
        assert!(cut.places(&config).is_empty());
    }
    // Two cuts without a `clear` between them are one; so is one with an orderly end after it.
    let stood = stand(4000, 12.5);
    runs(&folder, Some(CUT), &stood);
    let cut = read(&folder).in_boot("b");
    assert!(cut.power_was_cut());
    assert_eq!(cut.places(&config), stood);
    cut.end_in_fault(CUT, &config, &stood).unwrap();
    let next = read(&folder).in_boot("c");
    assert_eq!((next.unclean().as_deref(), next.places(&config)), (Some(CUT), stood));
}

#[test]
fn the_journal_of_release_0_1_is_read() {
    let (folder, config) = (tempfile::tempdir().unwrap(), config(TEXT));
    let was = |text: &str| {
        std::fs::write(folder.path().join("journal.json"), text).unwrap();
        read(&folder).in_boot("b")
    };
    let (x, pan) = (config.motors[0].identity(), config.motors[1].identity());
    let motors = json!({
        "pan": { "means": pan, "angle": 12.5, "sure": true },
        "x": { "means": x, "steps": 4000, "sure": true },
    });
    let clean =
        was(&json!({ "v": 1, "end": "clean", "backend": "sim", "motors": motors }).to_string());
    assert_eq!((clean.unclean(), clean.places(&config)), (None, stand(4000, 12.5)));
    // It has no boot: whether the power was cut nobody knows.
    let ran = was("{\"v\":1,\"end\":\"running\",\"backend\":\"sim\",\"motors\":{}}\n");
    assert_eq!(ran.unclean().as_deref(), Some(NOT_CLEAN));
    let fault =
        was("{\"v\":1,\"end\":\"fault\",\"why\":\"y: bad\",\"backend\":\"sim\",\"motors\":{}}\n");
    assert_eq!(fault.unclean().as_deref(), Some("the service ended before in a fault: y: bad"));
    let later = was("{\"v\":3,\"end\":\"clean\",\"backend\":\"sim\",\"motors\":{}}\n");
    assert!(later.unclean().unwrap().contains("another release"));
}

#[test]
fn nothing_is_restored_from_what_forgets() {
    let (folder, config) = (tempfile::tempdir().unwrap(), config(TEXT));
    read(&folder).end(&config, &stand(4000, 12.5)).unwrap();
    let forgets = Journal { forgets: Some("overlay"), ..read(&folder) };
    assert!(forgets.places(&config).is_empty());
    assert_eq!(forgets.unclean(), None);
    runs(&folder, None, &stand(4000, 12.5));
    let forgets = Journal { forgets: Some("tmpfs"), ..read(&folder) }.in_boot("b");
    assert!(forgets.places(&config).is_empty() && forgets.power_was_cut());
}

#[test]
fn a_place_is_known_only_where_it_means_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for ran in [false, true] {
        match ran {
            false => read(&folder).end(&config(TEXT), &stand(60_000, 40.0)).unwrap(),
            true => drop(runs(&folder, None, &stand(60_000, 40.0))),
        }
        let known = |text: String| -> Vec<String> {
            read(&folder).in_boot("b").places(&config(&text)).into_keys().collect()
        };
        let change = |from: &str, to: &str| known(TEXT.replacen(from, to, 1));
        assert_eq!(known(TEXT.to_owned()), ["pan", "x"]);
        assert_eq!(change("50mm/s", "40mm/s"), ["pan", "x"]);
        for (from, to) in [
            ("microsteps = 16", "microsteps = 32"),
            ("\"8mm\"", "\"5mm\""),
            ("gpio = 27", "gpio = 26"),
            ("at-start", "reverse = true\nat-start"),
            // It would stand outside.
            ("max = \"200mm\"", "max = \"100mm\""),
        ] {
            assert_eq!(change(from, to), ["pan"], "{to}");
        }
        for to in
            ["trim = \"5us\"", "angle = { min = \"-90deg\", max = \"90deg\" }", "reverse = true"]
        {
            assert_eq!(change("startup", &format!("{to}\nstartup")), ["x"], "{to}");
        }
        let hardware = Journal::read(folder.path(), "rppal", None, None).in_boot("b");
        assert_eq!(hardware.places(&config(TEXT)).len(), 0);
    }
}

#[test]
fn whoever_drove_the_header_in_between_ends_it() {
    let (folder, config) = (tempfile::tempdir().unwrap(), config(TEXT));
    let of = |drives: &str, drove: Option<&str>| {
        let journal =
            Journal::read(folder.path(), "rppal", Some(drives.into()), drove.map(str::to_owned));
        Journal { forgets: None, ..journal }
    };
    of("a", None).end(&config, &stand(1, 1.0)).unwrap();
    assert_eq!(of("b", Some("a")).places(&config).len(), 2);
    assert_eq!(of("b", None).places(&config).len(), 2);
    assert_eq!(of("b", Some("c")).places(&config).len(), 0);
}

proptest! {
    /// Whatever the file has become, a place is the one that was noted, or none.
    #[test]
    fn a_spoiled_file_gives_the_place_or_none(
        steps in 0i64..80_000,
        at in any::<prop::sample::Index>(),
        cut in any::<bool>(),
        with in any::<u8>(),
    ) {
        let (folder, config) = (tempfile::tempdir().unwrap(), config(TEXT));
        read(&folder).end(&config, &stand(steps, 3.25)).unwrap();
        let file = folder.path().join("journal.json");
        let mut bytes = std::fs::read(&file).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes.insert(at, with) }
        std::fs::write(&file, &bytes).unwrap();
        let spoiled = read(&folder);
        if cut && at + 1 < bytes.len() {
            prop_assert!(spoiled.unclean().is_some());
        }
        // A digit more makes another number: what can't be told apart must at least be in the
        // travel. A cut never does.
        for (motor, kept) in spoiled.places(&config) {
            let inside = config.motor(&motor).is_some_and(|m| kept.is_inside(m));
            prop_assert!(inside && (!cut || kept == stand(steps, 3.25)[&motor]));
        }
    }
}
