//! The page: a block for each motor, its three curves one above the other on one time axis, and beside
//! them the path from above.

use super::PlotError;
use super::canvas::{Canvas, FRAME, GRID, INK, LIMIT, MOTORS, QUIET, Rgb, Side, sized};
use super::late;
use super::thin;
use super::track::Track;

pub(super) type Result<T = ()> = std::result::Result<T, PlotError>;

/// What stands left of the curves: their names, and the figures on their axes.
pub(super) const LEFT: f64 = 168.0;
pub(super) const MARGIN: f64 = 28.0;
const WIDE: f64 = 880.0;
const STRIP: f64 = 92.0;
const BETWEEN: f64 = 10.0;
const HEAD: f64 = 64.0;
/// Above a motor's strips: its name. Below: the time.
const NAME: f64 = 26.0;
const TIME: f64 = 34.0;
const FOOT: f64 = 34.0;
/// The path's square, and what stands left of it.
const PATH: f64 = 330.0;
const PATH_LEFT: f64 = 74.0;
/// How far, in points, a line may be from the curve it stands for.
const TOLERANCE: f64 = 0.12;

/// A rectangle of the page and the ranges that it shows.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
    pub x: (f64, f64),
    pub y: (f64, f64),
}

impl Field {
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let across = (x - self.x.0) / (self.x.1 - self.x.0);
        let up = (y - self.y.0) / (self.y.1 - self.y.0);
        (self.left + across * self.width, self.top + (1.0 - up) * self.height)
    }

    pub fn holds_y(&self, y: f64) -> bool {
        (self.y.0..=self.y.1).contains(&y)
    }
}

pub(super) fn draw(tracks: &[Track], title: &str) -> Result<String> {
    let path = plane(tracks);
    let blocks = HEAD + tracks.iter().map(block).sum::<f64>();
    let beside = if path.is_some() { PATH_LEFT + PATH + MARGIN } else { 0.0 };
    // A view is at most 1.2 times as tall as wide.
    let tall = if path.is_some() { HEAD + NAME + PATH * 1.2 + 90.0 } else { 0.0 };
    let size = (LEFT + WIDE + MARGIN + beside, blocks.max(tall) + FOOT);
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, size)?;
    canvas.bold(title, (MARGIN, 30.0), 19.0, INK)?;
    legend(&canvas, tracks, LEFT + WIDE)?;
    let end = tracks.iter().map(|t| t.end).max().unwrap_or(0) as f64 / 1e9;
    let end = if end > 0.0 { end } else { 1.0 };
    let mut top = HEAD;
    for (n, track) in tracks.iter().enumerate() {
        motor(&canvas, track, MOTORS[n % MOTORS.len()], top, end)?;
        top += block(track);
    }
    if let Some((x, y)) = path {
        let left = LEFT + WIDE + MARGIN + PATH_LEFT;
        let title = format!("path from above: {} and {}, {}", x.name, y.name, x.unit);
        let below = view(&canvas, &title, (x, y), (left, HEAD + NAME), end)?;
        if let Some(z) = find(tracks, 'z').filter(|z| z.unit == x.unit) {
            let title = format!("path from the front: {} and {}, {}", x.name, z.name, x.unit);
            view(&canvas, &title, (x, z), (left, below + NAME), end)?;
        }
    }
    let note = format!(
        "Speed and acceleration are differences of the position over windows of {}.",
        windows(tracks)
    );
    canvas.text(&note, (MARGIN, size.1 - 20.0), 11.5, QUIET, Side::Right)?;
    canvas.finish()?;
    Ok(sized(&svg, size))
}

/// How many strips a motor has: that of its lateness only where its edges could be late.
fn strips(track: &Track) -> f64 {
    if track.lateness.is_empty() { 3.0 } else { 4.0 }
}

/// How high a motor's block is.
fn block(track: &Track) -> f64 {
    let strips = strips(track);
    NAME + strips * STRIP + (strips - 1.0) * BETWEEN + TIME
}

fn legend(canvas: &Canvas<'_>, tracks: &[Track], right: f64) -> Result {
    if tracks.iter().all(|t| t.limits.is_none()) {
        return Ok(());
    }
    let (left, y) = (right - 188.0, 30.0);
    canvas.line(&[(left, y), (left + 26.0, y)], LIMIT, 1.2)?;
    canvas.text("limits and ends of travel", (left + 34.0, y), 12.5, QUIET, Side::Right)
}

/// `25 ms (x, y) and 40 ms (z)`.
fn windows(tracks: &[Track]) -> String {
    let mut all: Vec<(String, Vec<&str>)> = Vec::new();
    for track in tracks {
        let window = format!("{} ms", number(track.window as f64 * 2.0 / 1e6));
        match all.iter_mut().find(|w| w.0 == window) {
            Some(known) => known.1.push(&track.name),
            None => all.push((window, vec![&track.name])),
        }
    }
    if let [only] = all.as_slice() {
        return only.0.clone();
    }
    let parts: Vec<_> =
        all.iter().map(|(w, names)| format!("{w} ({})", names.join(", "))).collect();
    parts.join(", ")
}

/// A number with three digits that count, or all of a whole one.
fn number(x: f64) -> String {
    let digits = if x == 0.0 { 0.0 } else { 2.0 - x.abs().log10().floor() };
    let text = format!("{x:.*}", digits.clamp(0.0, 9.0) as usize);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn motor(canvas: &Canvas<'_>, track: &Track, colour: Rgb, top: f64, end: f64) -> Result {
    canvas.bold(&track.name, (MARGIN, top + NAME / 2.0), 15.5, colour)?;
    let unit = &track.unit;
    // Without a config, nobody knows which angle a pulse stands for.
    let names = match unit.as_str() {
        "us" => ["pulse", "speed", "acceleration"],
        // It has no position.
        "%" => ["speed", "acceleration", "jerk"],
        _ => ["position", "speed", "acceleration"],
    };
    let units = [unit.clone(), format!("{unit}/s"), format!("{unit}/s²")];
    let ends = track.travel.map(|t| [t.0, t.1]);
    let plus_minus = |limit: f64| [-limit, limit];
    let limits =
        [ends, track.limits.map(|l| plus_minus(l.0)), track.limits.map(|l| plus_minus(l.1))];
    for (n, curve) in track.curves().iter().enumerate() {
        let top = top + NAME + n as f64 * (STRIP + BETWEEN);
        let y = range(curve, limits[n], n > 0);
        let field = Field { left: LEFT, top, width: WIDE, height: STRIP, x: (0.0, end), y };
        let middle = top + STRIP / 2.0;
        canvas.text(names[n], (MARGIN, middle - 8.0), 12.5, INK, Side::Right)?;
        canvas.text(&units[n], (MARGIN, middle + 9.0), 12.0, QUIET, Side::Right)?;
        grid(canvas, field, (12, 4), n == 2 && track.lateness.is_empty())?;
        for &limit in limits[n].iter().flatten().filter(|l| field.holds_y(**l)) {
            canvas.line(&[field.at(0.0, limit), field.at(end, limit)], LIMIT, 1.0)?;
        }
        for run in curve {
            let points: Vec<_> = run.iter().map(|&(t, v)| field.at(t, v)).collect();
            canvas.line(&thin::curve(&points, TOLERANCE), colour, 1.7)?;
        }
    }
    let last = top + NAME + (strips(track) - 1.0) * (STRIP + BETWEEN);
    if !track.lateness.is_empty() {
        late::strip(canvas, track, colour, (last, WIDE, STRIP), end)?;
    }
    canvas.text("time, s", (LEFT + WIDE, last + STRIP + 27.0), 11.5, QUIET, Side::Left)
}

/// What an axis shows: all of the curve, and the limits unless the curve would vanish beside them.
fn range(runs: &[Vec<(f64, f64)>], limits: Option<[f64; 2]>, around_zero: bool) -> (f64, f64) {
    let values = || runs.iter().flatten().map(|p| p.1);
    let (mut low, mut high) =
        values().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        (low, high) = (0.0, 0.0);
    }
    if let Some([from, to]) = limits {
        let used =
            (high - low).max(if around_zero { high.abs().max(low.abs()) * 2.0 } else { 0.0 });
        if around_zero || used >= (to - from) / 5.0 {
            (low, high) = (low.min(from), high.max(to));
        }
    }
    if around_zero {
        high = high.abs().max(low.abs());
        low = -high;
    }
    let room = (high - low) * 0.1;
    if room > 0.0 { (low - room, high + room) } else { (low - 1.0, high + 1.0) }
}

/// Lines at round figures of what goes to the right, and the figures below.
pub(super) fn times(canvas: &Canvas<'_>, field: Field, most: usize, figures: bool) -> Result {
    let bottom = field.top + field.height;
    for x in ticks(field.x, most) {
        let at = field.at(x.value, field.y.0).0;
        canvas.line(&[(at, field.top), (at, bottom)], GRID, 1.0)?;
        if figures {
            canvas.text(&x.text, (at, bottom + 11.0), 11.5, QUIET, Side::Middle)?;
        }
    }
    Ok(())
}

/// Lines at round figures, the figures left, and below where `figures`.
fn grid(canvas: &Canvas<'_>, field: Field, (across, up): (usize, usize), figures: bool) -> Result {
    let (right, bottom) = (field.left + field.width, field.top + field.height);
    times(canvas, field, across, figures)?;
    for y in ticks(field.y, up) {
        let at = field.at(field.x.0, y.value).1;
        canvas.line(&[(field.left, at), (right, at)], GRID, 1.0)?;
        canvas.text(&y.text, (field.left - 7.0, at), 11.5, QUIET, Side::Left)?;
    }
    canvas.frame((field.left, field.top), (right, bottom), FRAME)
}

struct Tick {
    value: f64,
    text: String,
}

/// Round figures within a range, `most` at most.
fn ticks((low, high): (f64, f64), most: usize) -> Vec<Tick> {
    let coarse = (high - low) / most as f64;
    let ten = 10f64.powf(coarse.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].iter().map(|n| n * ten).find(|s| *s >= coarse * 0.999);
    let step = step.unwrap_or(10.0 * ten);
    // As few decimals as show each of them.
    let shows = |d: &usize| (step * 10f64.powi(*d as i32)).fract().abs() < 1e-6;
    let decimals = (0..9).find(shows).unwrap_or(9);
    let (from, to) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    let tick = |n: i64| {
        let value = n as f64 * step;
        let text = format!("{:.*}", decimals, value + 0.0);
        Tick { value, text: text.replace('-', "−") }
    };
    (from..=to).map(tick).collect()
}

/// The motor of a direction in space: `x`, or a name such as `x-left`.
fn find(tracks: &[Track], letter: char) -> Option<&Track> {
    let is = |t: &&Track| {
        let mut name = t.name.chars();
        let first = name.next().is_some_and(|c| c.eq_ignore_ascii_case(&letter));
        first && !name.next().is_some_and(char::is_alphanumeric)
    };
    tracks
        .iter()
        .find(is)
        .filter(|t| !["deg", "us", "%"].contains(&t.unit.as_str()) && !t.runs.is_empty())
}

/// The two motors that make a plane.
fn plane(tracks: &[Track]) -> Option<(&Track, &Track)> {
    let (x, y) = (find(tracks, 'x')?, find(tracks, 'y')?);
    (x.unit == y.unit).then_some((x, y))
}

/// The path of two motors; says where it ends on the page.
fn view(
    canvas: &Canvas<'_>,
    title: &str,
    (x, y): (&Track, &Track),
    (left, top): (f64, f64),
    end: f64,
) -> Result<f64> {
    let looks = ((end / (x.window.min(y.window) as f64 / 1e9)) as u64).clamp(1, 400_000);
    let time = |n: u64| end * n as f64 / looks as f64;
    let path: Vec<(f64, f64)> =
        (0..=looks).filter_map(|n| Some((x.position(time(n))?, y.position(time(n))?))).collect();
    let (Some(&first), Some(&last)) = (path.first(), path.last()) else { return Ok(top) };
    let by = |of: fn(&(f64, f64)) -> f64, travel: Option<(f64, f64)>| {
        let values = path.iter().map(of);
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        match travel {
            Some((from, to)) if high - low >= (to - from) / 5.0 => (low.min(from), high.max(to)),
            _ => (low, high),
        }
    };
    let (of_x, of_y) = (by(|p| p.0, x.travel), by(|p| p.1, y.travel));
    // One scale for both, so that angles are true.
    let wide = (of_x.1 - of_x.0).max((of_y.1 - of_y.0) / 1.2).max(1e-6) * 1.1;
    let tall = ((of_y.1 - of_y.0) * 1.1).max(wide / 3.0);
    let about =
        |(low, high): (f64, f64), span| ((low + high - span) / 2.0, (low + high + span) / 2.0);
    let height = PATH * tall / wide;
    let field =
        Field { left, top, width: PATH, height, x: about(of_x, wide), y: about(of_y, tall) };
    canvas.text(title, (left, top - NAME / 2.0), 12.5, INK, Side::Right)?;
    let most = (6.0 * height / PATH).round().max(3.0) as usize;
    grid(canvas, field, (6, most), true)?;
    if let (Some(tx), Some(ty)) = (x.travel, y.travel) {
        let corners = [(tx.0, ty.0), (tx.1, ty.0), (tx.1, ty.1), (tx.0, ty.1), (tx.0, ty.0)];
        let inside = |p: &(f64, f64)| (field.x.0..=field.x.1).contains(&p.0) && field.holds_y(p.1);
        if corners.iter().all(inside) {
            canvas.line(&corners.map(|p| field.at(p.0, p.1)), LIMIT, 1.0)?;
        }
    }
    let points: Vec<_> = path.iter().map(|p| field.at(p.0, p.1)).collect();
    let points = thin::simplify(&points, TOLERANCE);
    canvas.line(&points, MOTORS[0], 1.8)?;
    arrows(canvas, &points)?;
    canvas.dot(field.at(first.0, first.1), 4.5, MOTORS[0], false)?;
    canvas.dot(field.at(last.0, last.1), 4.5, MOTORS[0], true)?;
    let below = top + height + 40.0;
    canvas.dot((left + 6.0, below), 4.5, MOTORS[0], false)?;
    canvas.text("start", (left + 17.0, below), 12.0, QUIET, Side::Right)?;
    canvas.dot((left + 72.0, below), 4.5, MOTORS[0], true)?;
    canvas.text("end", (left + 83.0, below), 12.0, QUIET, Side::Right)?;
    Ok(below + 22.0)
}

/// Which way it goes, on the long stretches of the first hundred.
fn arrows(canvas: &Canvas<'_>, points: &[(f64, f64)]) -> Result {
    for pair in points.windows(2).take(100) {
        let (dx, dy) = (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1);
        let length = dx.hypot(dy);
        if length < 36.0 {
            continue;
        }
        let (ux, uy) = (dx / length, dy / length);
        // Not in the middle, where paths like to cross.
        let middle = (pair[0].0 + dx * 0.4, pair[0].1 + dy * 0.4);
        let corner = |along: f64, aside: f64| {
            (middle.0 + along * ux - aside * uy, middle.1 + along * uy + aside * ux)
        };
        canvas.filled(&[corner(5.0, 0.0), corner(-4.0, 3.6), corner(-4.0, -3.6)], MOTORS[0])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for (range, most, wanted) in [
            ((-57.0, 57.0), 4, vec!["−50", "0", "50"]),
            ((0.0, 15.743), 12, vec!["0", "2", "4", "6", "8", "10", "12", "14"]),
            ((0.0, 1.0), 4, vec!["0.00", "0.25", "0.50", "0.75", "1.00"]),
            ((-0.003, 0.003), 4, vec!["−0.002", "0.000", "0.002"]),
        ] {
            let texts: Vec<_> = ticks(range, most).into_iter().map(|t| t.text).collect();
            assert_eq!(texts, wanted, "{range:?}");
        }
        assert_eq!(number(25.298), "25.3");
        assert_eq!(number(40.0), "40");
    }
}
