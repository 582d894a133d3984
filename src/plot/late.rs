//! The strip of a motor's lateness: the greatest of each short stretch of time, on a scale of powers of ten,
//! since an edge in ten thousand may be a thousand times as late as the rest.

use super::canvas::{Canvas, FRAME, GRID, INK, LIMIT, QUIET, Rgb, Side};
use super::page::{Field, LEFT, MARGIN, Result, times};
use super::track::Track;

/// Lateness below that is drawn as that much, us: a clock's own grain.
const LEAST: f64 = 0.1;

/// How wide a column is, points.
const COLUMN: f64 = 2.0;

/// The greatest of each column's lateness: (which column, us).
fn columns(track: &Track, end: f64, most: usize) -> Vec<(usize, f64)> {
    let mut columns: Vec<(usize, f64)> = Vec::new();
    for &(at, us) in &track.lateness {
        let column = (at as f64 / 1e9 / end * most as f64) as usize;
        let column = column.min(most.saturating_sub(1));
        match columns.last_mut() {
            Some(last) if last.0 == column => last.1 = last.1.max(us),
            _ => columns.push((column, us)),
        }
    }
    columns
}

/// The powers of ten, in us, from the bottom of the scale to its top.
fn decades(track: &Track) -> (i32, i32) {
    let most = track.lateness.iter().map(|l| l.1).fold(track.most_late.unwrap_or(0.0), f64::max);
    let top = most.max(10.0 * LEAST).log10().ceil() as i32;
    (LEAST.log10().round() as i32, top.max(1))
}

/// Draws it from `top` on; `end`: seconds.
pub(super) fn strip(
    canvas: &Canvas<'_>,
    track: &Track,
    colour: Rgb,
    (top, width, height): (f64, f64, f64),
    end: f64,
) -> Result {
    let (bottom, highest) = decades(track);
    let y = (f64::from(bottom), f64::from(highest));
    let field = Field { left: LEFT, top, width, height, x: (0.0, end), y };
    let middle = top + height / 2.0;
    canvas.text("lateness", (MARGIN, middle - 8.0), 12.5, INK, Side::Right)?;
    canvas.text("us, at most", (MARGIN, middle + 9.0), 12.0, QUIET, Side::Right)?;
    times(canvas, field, 12, true)?;
    for power in bottom..=highest {
        let at = field.at(0.0, f64::from(power)).1;
        canvas.line(&[(LEFT, at), (LEFT + width, at)], GRID, 1.0)?;
        // Six powers in a strip leave room for every second figure.
        if (power - bottom) % 2 == 1 || highest - bottom < 5 {
            let figure = format!("{}", 10f64.powi(power));
            canvas.text(&figure, (LEFT - 7.0, at), 11.5, QUIET, Side::Left)?;
        }
    }
    canvas.frame((LEFT, top), (LEFT + width, top + height), FRAME)?;
    let most = (width / COLUMN) as usize;
    for (column, us) in columns(track, end, most) {
        let x = LEFT + (column as f64 + 0.5) * COLUMN;
        let high = field.at(0.0, us.max(LEAST).log10()).1;
        canvas.line(&[(x, top + height), (x, high.min(top + height - 0.5))], colour, 1.5)?;
    }
    if let Some(most) = track.most_late.filter(|m| *m > 0.0) {
        let most = most.log10();
        if field.holds_y(most) {
            canvas.line(&[field.at(0.0, most), field.at(end, most)], LIMIT, 1.0)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(lateness: &[(u64, f64)]) -> Track {
        Track {
            name: "x".into(),
            unit: "mm".into(),
            runs: Vec::new(),
            limits: None,
            travel: None,
            window: 1,
            end: 10,
            lateness: lateness.to_vec(),
            most_late: None,
        }
    }

    #[test]
    fn the_latest_of_a_column_is_drawn() {
        let late = track(&[(0, 1.0), (400_000_000, 7.0), (600_000_000, 3.0), (2_000_000_000, 2.0)]);
        assert_eq!(columns(&late, 2.0, 2), [(0, 7.0), (1, 2.0)]);
        assert_eq!(columns(&track(&[]), 2.0, 2), []);
    }

    #[test]
    fn the_scale_has_room_for_the_latest_and_for_the_limit() {
        assert_eq!(decades(&track(&[(0, 0.02)])), (-1, 1));
        assert_eq!(decades(&track(&[(0, 4700.0)])), (-1, 4));
        let limited = Track { most_late: Some(1_000.0), ..track(&[(0, 5.0)]) };
        assert_eq!(decades(&limited), (-1, 3));
    }
}
