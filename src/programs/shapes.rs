//! What sweeps and keyframes come down to: targets, one move after another, and a track for each motor.

use crate::config::{Keyframe, SweepAction};
use crate::motor::MotorIndex;
use crate::moves::{MoveError, Start, Track, nanos};

/// How many steps a sweep takes from one end to the other.
pub(super) fn sweep_length(sweep: &SweepAction) -> u64 {
    let of = |m: &crate::config::SweepMotor| {
        // A step that does not fit exactly leaves a shorter last one; rounding leaves none.
        ((m.to - m.from).abs() / m.step - 1e-9).ceil().max(1.0) as u64
    };
    sweep.motors.iter().map(of).max().unwrap_or(1)
}

/// The targets of a sweep's move number `index`: 0 goes to where it begins, then there and back.
pub(super) fn sweep_targets(sweep: &SweepAction, index: u64) -> Option<Vec<(MotorIndex, f64)>> {
    let length = sweep_length(sweep);
    if sweep.times.is_some_and(|times| index > 2 * length * u64::from(times)) {
        return None;
    }
    let phase = index % (2 * length);
    let k = phase.min(2 * length - phase) as f64;
    let target = |m: &crate::config::SweepMotor| {
        let way = m.to - m.from;
        let gone = (k * m.step).min(way.abs());
        (m.motor, m.from + gone * way.signum())
    };
    Some(sweep.motors.iter().map(target).collect())
}

/// Each motor's own track through the keyframes.
pub(super) fn keyframe_tracks(
    frames: &[Keyframe],
    mut start: impl FnMut(MotorIndex) -> Result<Start, MoveError>,
) -> Result<Vec<Track>, MoveError> {
    let mut tracks: Vec<Track> = Vec::new();
    for frame in frames {
        for target in &frame.targets {
            let at = (nanos(frame.at), target.position);
            match tracks.iter_mut().find(|t| t.0 == target.motor) {
                Some(track) => track.2.push(at),
                None => tracks.push((target.motor, start(target.motor)?, vec![at])),
            }
        }
    }
    Ok(tracks)
}
