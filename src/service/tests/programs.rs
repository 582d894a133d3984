//! Programs and what their motors are leased to.

use super::bench::{config, serve};

fn axis(name: &str, pins: [u8; 2]) -> String {
    format!(
        "[axis.{name}]\nstep = {{ gpio = {} }}\ndir = {{ gpio = {} }}\ndriver = \"drv8825\"\n\
         steps-per-revolution = 200\nmicrosteps = 16\ndistance-per-revolution = \"8mm\"\n\
         travel = {{ min = \"0mm\", max = \"200mm\" }}\nmax-speed = \"50mm/s\"\n\
         max-acceleration = \"500mm/s^2\"\nat-start = {{ assume = \"0mm\" }}\n",
        pins[0], pins[1]
    )
}

/// A program's motors are all that it may move, also by a program that mends a move: a lease on one of those keeps it from
/// beginning, and its token lets it.
#[test]
fn a_lease_on_a_motor_that_only_mends_a_move_counts() {
    let programs = "[program.p]\nsteps = [ { move = { x = \"10mm\" }, on-short = { x = \"mend\" } } ]\n\
        [program.mend]\nsteps = [ { move = { y = \"5mm\" } }, { run = \"more\" } ]\n\
        [program.more]\nsteps = [ { together = [ [ { move = { z = \"5mm\" } } ], [ { pause = \"1s\" } ] ] } ]\n";
    let text = axis("x", [17, 27]) + &axis("y", [23, 24]) + &axis("z", [25, 16]) + programs;
    for motor in ["x", "y", "z"] {
        serve(config(&text), None, |bench| {
            let (holder, other) = (bench.connect(), bench.connect());
            let lease =
                bench.ask(holder, &format!("\"do\":\"lease-take\",\"motors\":[\"{motor}\"]"));
            let token = lease.what["token"].as_str().unwrap().to_owned();
            let run = "\"do\":\"program-run\",\"program\":\"p\"";
            let refused = bench.ask(other, run);
            assert_eq!(refused.code(), "busy", "{motor}: {refused:?}");
            bench.run_for(100);
            assert!(bench.desk.programs.is_empty());
            let shared = bench.ask(other, &format!("{run},\"token\":\"{token}\""));
            assert!(shared.is_ok(), "{shared:?}");
        });
    }
}
