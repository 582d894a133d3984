//! Pictures of traces.
#![cfg(feature = "plot")]
#![allow(clippy::unwrap_used)]

use std::fs;

use lockstep::config::Config;
use lockstep::plot::{PlotError, plot};

use crate::program::Program;
use crate::verify_support::*;

/// The points of every line of a colour, in points of the page.
fn lines(svg: &str, colour: &str) -> Vec<Vec<(f64, f64)>> {
    let stroke = format!("stroke=\"{colour}\"");
    let points = |line: &str| {
        let list = line.split("points=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        list.split_whitespace()
            .map(|p| p.split_once(',').map(|(x, y)| (num(x) / 4.0, num(y) / 4.0)).unwrap())
            .collect()
    };
    svg.lines().filter(|l| l.starts_with("<polyline") && l.contains(&stroke)).map(points).collect()
}

fn num(text: &str) -> f64 {
    text.parse().unwrap()
}

const X: &str = "#0072B2";
const LIMIT: &str = "#D64545";

/// A trace of virtual time has no lateness; one of a real run has a strip of it for each motor.
#[test]
fn lateness_has_its_strip_where_there_is_any() {
    let text = "[machine]\nmax-lateness = \"500us\"\n".to_owned() + STAGE;
    let config = config(&text);
    let trace = vcd(&record(config.clone(), "go"));
    let plain = plot(trace.as_bytes(), Some(&config), "stage").unwrap();
    assert!(!plain.contains("lateness"));
    let late = trace
        .replacen(
            "$enddefinitions",
            "$scope module x $end $var real 64 late lateness $end $upscope $end\n$enddefinitions",
            1,
        )
        .replacen("\n#0\n", "\n#0\nr0.4 late\n", 1)
        + "r1234.5 late\n";
    let svg = plot(late.as_bytes(), Some(&config), "stage").unwrap();
    assert!(svg.contains("lateness") && svg.contains("us, at most"));
    // Two columns, and the limit above the smaller one.
    let limits = |svg: &str| lines(svg, LIMIT).len();
    assert_eq!(limits(&svg), limits(&plain) + 1);
    let columns: Vec<_> =
        lines(&svg, X).into_iter().filter(|l| l.len() == 2 && l[0].0 == l[1].0).collect();
    assert_eq!(columns.len(), 2, "{columns:?}");
    let high = |n: usize| columns[n][0].1 - columns[n][1].1;
    assert!(high(1) > 3.0 * high(0), "{columns:?}");
}

#[test]
fn curves_touch_their_limits_and_no_more() {
    let text = STAGE.replace("5000mm/s^3", "20000mm/s^3");
    let config = config(&text);
    let svg = plot(vcd(&record(config.clone(), "go")).as_bytes(), Some(&config), "stage").unwrap();
    assert!(svg.starts_with("<svg width=\"") && svg.trim_end().ends_with("</svg>"));
    for words in [
        "stage",
        ">\nx\n<",
        ">\ny\n<",
        "position",
        "mm/s²",
        "time, s",
        "path from above: x and y, mm",
    ] {
        assert!(svg.contains(words), "{words}");
    }
    // x: the legend's line, then two limits for each of position, speed, acceleration.
    let limits = lines(&svg, LIMIT);
    let curves = lines(&svg, X);
    for (n, share) in [(1, 0.99), (2, 0.97)] {
        let (low, high) = (limits[1 + 2 * n][0].1, limits[2 + 2 * n][0].1);
        let (bottom, top) = (low.max(high), low.min(high));
        let curve = &curves[n];
        let highest = curve.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
        let lowest = curve.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
        // The line may be drawn a fraction of a point off.
        assert!(
            highest >= top - 0.5 && lowest <= bottom + 0.5,
            "{n}: {highest} {top} {lowest} {bottom}"
        );
        let half = (bottom - top) / 2.0;
        assert!(bottom - highest >= half * (1.0 + share), "{n}: the curve stays below its limit");
    }
    // The position begins and ends where it should: 0 and 10 of 200 mm.
    let (zero, far) = (limits[1][0].1, limits[2][0].1);
    let end = curves[0].last().unwrap().1;
    assert!(((zero - end) / (zero - far) * 200.0 - 10.0).abs() < 1.0, "{zero} {far} {end}");
}

#[test]
fn the_same_trace_gives_the_same_picture() {
    let config = config(SERVO);
    let vcd = vcd(&record(config.clone(), "go"));
    let draw = || plot(vcd.as_bytes(), Some(&config), "again").unwrap();
    assert_eq!(draw(), draw());
}

#[test]
fn without_a_config_units_are_those_of_the_trace() {
    let svg = plot(vcd(&record(config(STAGE), "go")).as_bytes(), None, "bare").unwrap();
    assert!(svg.contains("units/s²") && lines(&svg, LIMIT).is_empty());
    let svg = plot(vcd(&record(config(SERVO), "go")).as_bytes(), None, "bare").unwrap();
    assert!(svg.contains("us/s²") && svg.contains("pulse") && !svg.contains("path"));
}

#[test]
fn a_minute_of_a_busy_machine_is_a_small_file() {
    let file = "config/two-servos.toml";
    let dir = tempfile::tempdir().unwrap();
    let svg = dir.path().join("two.svg");
    let path = svg.to_str().unwrap();
    let mut command = Program::new();
    command.args(["simulate", "--config", file, "--for", "60s", "--plot", path, "-q"]);
    command.assert().success();
    let size = fs::metadata(&svg).unwrap().len();
    assert!((10_000..500_000).contains(&size), "{size}");

    let text = STAGE.replace(
        "[program.asap]",
        "[program.busy]\nsteps = [ { repeat = 12, steps = [ { run = \"go\" } ] } ]\n[program.asap]",
    );
    let config = config(&text);
    let svg = plot(vcd(&record(config.clone(), "busy")).as_bytes(), Some(&config), "busy").unwrap();
    assert!((10_000..500_000).contains(&svg.len()), "{}", svg.len());
}

#[test]
fn files_are_written_and_errors_named() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("nod.vcd");
    let (file, pan_tilt) = (trace.to_str().unwrap(), "config/pan-tilt.toml");
    let lockstep = |args: &[&str]| Program::new().args(args).assert();
    lockstep(&["simulate", "nod", "--config", pan_tilt, "--trace", file, "-q"]).success();
    lockstep(&["plot", file, "--config", pan_tilt]).success();
    let svg = fs::read_to_string(dir.path().join("nod.svg")).unwrap();
    assert!(svg.contains("pan-tilt: nod"));
    let out = lockstep(&["plot", file, "--config", pan_tilt, "-o", "-"]).success();
    assert_eq!(out.get_output().stdout, svg.as_bytes());
    lockstep(&["plot", file, "--config", "config/xyz-stage.toml"]).code(2);
    lockstep(&["plot", file, "-o", "/nowhere/at/all.svg"]).code(2);
    lockstep(&["plot", "config/demo.toml"]).code(2);
    let nowhere = ["simulate", "nod", "--config", pan_tilt, "-q", "--plot", "/nowhere/at/all.svg"];
    lockstep(&nowhere).code(2);
}

#[test]
fn traces_without_motors_are_refused() {
    let text = "$timescale 1 ns $end $scope module a $end $var wire 1 ! clk $end $upscope $end $enddefinitions $end #0 1!";
    assert!(matches!(plot(text.as_bytes(), None, ""), Err(PlotError::Mismatch(_))));
    let vcd = vcd(&record(config(SERVO), "go"));
    let stage: Config = config(STAGE);
    assert!(matches!(plot(vcd.as_bytes(), Some(&stage), ""), Err(PlotError::Mismatch(_))));
    assert!(matches!(plot(&b"hello"[..], None, ""), Err(PlotError::Trace(_))));
}
