//! A run in real time, on the simulator. A file of its own, so that no other test runs beside it.
#![allow(clippy::unwrap_used)]

mod verify_support;

use std::time::Duration;

use lockstep::machine::{Machine, Move};
use lockstep::trace::Value;
use lockstep::units::Length;
use lockstep::verify::{Options, Verdict, verify};

use verify_support::*;

/// Edges are as late as the machine says and no later, however busy the computer is.
#[test]
fn a_run_in_real_time_is_clean_beside_its_lateness() {
    let config = config(STAGE);
    let mut machine = Machine::builder(config.clone()).trace(true).realtime(false).build().unwrap();
    let id = machine.start(&Move::new().to("x", Length(6.0)).to("y", Length(4.0))).unwrap();
    // On a computer that is busy beyond measure it ends by its time-out, and is clean all the same.
    machine.wait(id);
    machine.finish();
    let late = ["x", "y"].map(|m| machine.lateness(m).unwrap().max);
    let recording = machine.take_recording().unwrap();
    let lateness = Duration::from_nanos(*late.iter().max().unwrap());
    let report = verify(vcd(&recording).as_bytes(), &config, &Options { lateness }).unwrap();
    assert!(report.is_clean(), "{lateness:?}\n{report}");
    let counted = report.bounds.iter().filter(|b| b.name == "steps = position");
    assert!({ counted }.all(|b| b.verdict == Verdict::Kept), "{report}");
    // The trace says by itself how late they were, and so does its proof.
    for (motor, most) in ["x", "y"].into_iter().zip(late) {
        let signal = recording.find(&format!("{motor}.lateness")).unwrap();
        let us = recording.records(signal).map(|r| match r.1 {
            Value::Real(us) => us,
            other => panic!("{other:?}"),
        });
        assert_eq!(us.fold(0.0, f64::max), most as f64 / 1e3, "{motor}");
    }
    let told = |lateness| {
        let options = Options { lateness };
        let report = verify(vcd(&recording).as_bytes(), &config, &options).unwrap();
        report.notes.iter().any(|n| n.contains("us late; `--lateness "))
    };
    assert!(told(Duration::ZERO) && !told(lateness));
}
