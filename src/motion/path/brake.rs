//! Brakes: spacings that shrink to nothing.

use super::line::{Bounds, Line, Scalar};
use super::window::State;

/// Longer brakes are not looked for.
pub(super) const MOST_TICKS: usize = 512;

/// What of the limits a brake may take on a line that is not straight, and the shares tried after that.
const SHARES: [f64; 3] = [1.0, 0.6, 0.3];

/// A spacing less than this share of what the jerk allows from rest is none.
pub(super) const NOTHING: f64 = 1e-9;

/// Why there is no brake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoBrake {
    /// It would end beyond where the motion must rest.
    Beyond,
    /// Each one tried breaks a limit or the blend.
    Limits,
}

/// The hardest deceleration that can still be taken back in time: the `a` with `S(a) = spacing`.
#[inline]
pub(super) fn landing(spacing: f64, j: f64) -> f64 {
    // The least n with j n (n + 1)/2 >= spacing.
    let guess = ((0.25 + 2.0 * spacing / j).sqrt() - 0.5).max(1.0);
    let whole = guess as u32;
    let mut n = if f64::from(whole) < guess { f64::from(whole) + 1.0 } else { f64::from(whole) };
    // By the last bits it may be one too many.
    if n > 1.0 && j * (n - 1.0) * n / 2.0 >= spacing {
        n -= 1.0;
    }
    (spacing + j * n * (n - 1.0) / 2.0) / n
}

/// The largest growth of a spacing on its way to the cruising spacing `aim`, which may be below 0.
#[inline]
pub(super) fn speed_up(spacing: f64, aim: f64, limits: Scalar) -> f64 {
    let way = aim - spacing;
    let wanted = if way >= 0.0 { landing(way, limits.j) } else { -landing(-way, limits.j) };
    wanted.clamp(-limits.a, limits.a)
}

/// The nearest and the farthest place for the next control point of a brake.
#[inline]
fn slow_down(
    line: &Line,
    bounds: &Bounds,
    state: &State,
    limits: Scalar,
    share: f64,
) -> (f64, f64) {
    let (s, spacing) = (state.s(), state.spacing());
    let (a, j) = (limits.a * share, limits.j * share);
    let mut hard = s + (spacing - landing(spacing, j).min(a)).max(0.0);
    if share < 1.0 {
        hard = hard.max(s + (spacing + state.growth() - j).max(0.0));
    }
    let hold = s + spacing;
    match state.range(line, bounds, hard) {
        Some((low, high)) => {
            let hard = hard.clamp(low, high);
            (hard, hold.clamp(hard, high))
        }
        None => (hard, hold.max(hard)),
    }
}

/// Leads from `state` to rest no later than `stop`; `out` gets the arc lengths of its control points.
/// `most`: not longer than so many ticks. Says with what share of the limits (an index) and where.
pub(super) fn brake(
    line: &Line,
    bounds: &Bounds,
    state: &State,
    stop: f64,
    first_share: &mut usize,
    out: &mut Vec<f64>,
) -> Result<f64, NoBrake> {
    let mut why = NoBrake::Limits;
    for n in 0..SHARES.len() {
        let index = (*first_share + n) % SHARES.len();
        match brake_with(line, bounds, state, stop, SHARES[index], out) {
            Ok(rest) => {
                *first_share = index;
                return Ok(rest);
            }
            Err(NoBrake::Beyond) if index == 0 => {
                // A softer one only ends farther away.
                return Err(NoBrake::Beyond);
            }
            Err(NoBrake::Beyond) => why = NoBrake::Beyond,
            Err(NoBrake::Limits) => {}
        }
    }
    Err(why)
}

fn brake_with(
    line: &Line,
    bounds: &Bounds,
    state: &State,
    stop: f64,
    share: f64,
    out: &mut Vec<f64>,
) -> Result<f64, NoBrake> {
    out.clear();
    let mut state = *state;
    while !state.is_rest() {
        let Some(segment) = line.segment(state.k[2].seg) else { return Err(NoBrake::Limits) };
        if out.len() >= MOST_TICKS {
            return Err(NoBrake::Limits);
        }
        let nothing = NOTHING * segment.limits.first();
        let (hard, soft) = slow_down(line, bounds, &state, segment.limits, share);
        let mut beyond = false;
        let mut next = None;
        for f in [0.0, 0.5, 1.0] {
            let wanted = hard + f * (soft - hard);
            let mut s = if wanted <= state.s() + nothing { state.s() } else { wanted };
            if s > stop {
                if s > stop + nothing {
                    beyond = true;
                    break;
                }
                s = stop;
            }
            next = state.step(line, bounds, s);
            if next.is_some() || hard == soft {
                break;
            }
        }
        match next {
            Some(found) => state = found,
            None if beyond => return Err(NoBrake::Beyond),
            None => return Err(NoBrake::Limits),
        }
        out.push(state.s());
    }
    Ok(state.s())
}
