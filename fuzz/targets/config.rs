//! Whatever text a config is: errors that lie in the text, or a machine. What `lockstep check` prints about one that is
//! right names all that is in it, its board takes it again, and the machine can be built.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockstep::cli::check::described;
use lockstep::config::Config;
use lockstep::machine::Machine;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (loaded, printed) = match described(text, "fuzz.toml", None) {
        Ok(right) => right,
        Err(errors) => {
            assert!(!errors.diagnostics.is_empty());
            let length = errors.source.text().len();
            for diagnostic in &errors.diagnostics {
                if let Some(span) = diagnostic.span {
                    assert!(span.start <= span.end && span.end <= length, "{span:?} of {length}");
                    let at = errors.source.position(span.start);
                    assert!(at.line >= 1 && at.column >= 1);
                }
                assert!(!diagnostic.message.is_empty());
            }
            let shown = errors.to_string();
            assert!(shown.lines().filter(|l| l.contains(": error: ")).count() >= 1);
            return;
        }
    };
    let config = &loaded.config;
    for motor in &config.motors {
        assert!(printed.contains(&motor.name), "{} is not in\n{printed}", motor.name);
    }
    for program in &config.programs {
        assert!(printed.contains(&program.name), "{} is not in\n{printed}", program.name);
    }
    let again = Config::from_str(loaded.source.text(), "fuzz.toml").expect("it was right");
    assert_eq!(format!("{:?}", again.config), format!("{config:?}"));
    if !loaded.board_assumed {
        Config::from_str_for(text, "fuzz.toml", Some(loaded.board)).expect("its board takes it");
    }
    Machine::builder(loaded.config).virtual_time().build().expect("it can be built");
});
