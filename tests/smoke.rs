use lockstep::config::Config;
use lockstep::machine::{Machine, Move, RunOptions};
use lockstep::units::Length;

#[test]
fn tour() {
    let config = Config::from_file("config/xyz-stage.toml").unwrap().config;
    let mut machine = Machine::builder(config).virtual_time().trace(true).build().unwrap();
    let t = std::time::Instant::now();
    let report = machine.run(Some("tour"), RunOptions::default());
    println!("{:?}\n{:#?}", t.elapsed(), report);
}

#[test]
fn servo() {
    let config = Config::from_file("config/two-servos.toml").unwrap().config;
    let mut machine = Machine::builder(config).trace(true).build().unwrap();
    let t = std::time::Instant::now();
    let o = RunOptions { duration: Some(std::time::Duration::from_secs(3)), progress: None };
    let report = machine.run(None, o);
    println!("{:?}\n{:#?}", t.elapsed(), report);
}
