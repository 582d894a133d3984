//! The few shapes that a picture is made of, drawn with plotters in fine whole coordinates.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, RGBColor, ShapeStyle, TextStyle};

use super::PlotError;

/// Coordinates to a point of the picture: the back end's are whole numbers.
const FINE: f64 = 4.0;

/// A colour.
pub(super) type Rgb = RGBColor;

pub(super) const INK: Rgb = RGBColor(0x33, 0x3a, 0x42);
pub(super) const QUIET: Rgb = RGBColor(0x6b, 0x74, 0x7d);
pub(super) const GRID: Rgb = RGBColor(0xe6, 0xe9, 0xec);
pub(super) const FRAME: Rgb = RGBColor(0xc9, 0xcf, 0xd5);
pub(super) const LIMIT: Rgb = RGBColor(0xd6, 0x45, 0x45);

/// Colours that people with any colour vision tell apart (after Okabe and Ito).
pub(super) const MOTORS: [Rgb; 6] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xe6, 0x7e, 0x00),
    RGBColor(0x00, 0x8f, 0x6a),
    RGBColor(0xa8, 0x4f, 0x9c),
    RGBColor(0x46, 0x99, 0xc8),
    RGBColor(0x8a, 0x6d, 0x3b),
];

/// Where a text lies beside its point.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Left,
    Middle,
    Right,
}

type Result<T = ()> = std::result::Result<T, PlotError>;

/// A sheet of a size in points.
pub(super) struct Canvas<'s> {
    area: DrawingArea<SVGBackend<'s>, Shift>,
}

fn fine(p: (f64, f64)) -> (i32, i32) {
    ((p.0 * FINE).round() as i32, (p.1 * FINE).round() as i32)
}

fn failed(error: impl std::fmt::Display) -> PlotError {
    PlotError::Drawing(error.to_string())
}

impl<'s> Canvas<'s> {
    pub fn new(svg: &'s mut String, size: (f64, f64)) -> Result<Canvas<'s>> {
        let (width, height) = fine(size);
        let area = SVGBackend::with_string(svg, (width as u32, height as u32)).into_drawing_area();
        area.fill(&RGBColor(255, 255, 255)).map_err(failed)?;
        Ok(Canvas { area })
    }

    pub fn finish(self) -> Result {
        self.area.present().map_err(failed)
    }

    pub fn line(&self, points: &[(f64, f64)], colour: Rgb, width: f64) -> Result {
        let mut points: Vec<_> = points.iter().map(|&p| fine(p)).collect();
        points.dedup();
        if points.len() < 2 {
            return Ok(());
        }
        self.area.draw(&PathElement::new(points, stroke(colour, width))).map_err(failed)
    }

    pub fn frame(&self, from: (f64, f64), to: (f64, f64), colour: Rgb) -> Result {
        self.area.draw(&Rectangle::new([fine(from), fine(to)], stroke(colour, 1.0))).map_err(failed)
    }

    pub fn filled(&self, points: &[(f64, f64)], colour: Rgb) -> Result {
        let points: Vec<_> = points.iter().map(|&p| fine(p)).collect();
        self.area.draw(&Polygon::new(points, colour.filled())).map_err(failed)
    }

    pub fn dot(&self, at: (f64, f64), radius: f64, colour: Rgb, filled: bool) -> Result {
        let size = (radius * FINE).round() as i32;
        let white = RGBColor(255, 255, 255).filled();
        let inner = if filled { colour.filled() } else { white };
        self.area.draw(&Circle::new(fine(at), size, inner)).map_err(failed)?;
        self.area.draw(&Circle::new(fine(at), size, stroke(colour, 1.6))).map_err(failed)
    }

    /// A text whose middle line goes through `at`.
    pub fn text(&self, text: &str, at: (f64, f64), size: f64, colour: Rgb, side: Side) -> Result {
        self.write(text, at, size, colour, side, FontStyle::Normal)
    }

    pub fn bold(&self, text: &str, at: (f64, f64), size: f64, colour: Rgb) -> Result {
        self.write(text, at, size, colour, Side::Right, FontStyle::Bold)
    }

    fn write(
        &self,
        text: &str,
        at: (f64, f64),
        size: f64,
        colour: Rgb,
        side: Side,
        style: FontStyle,
    ) -> Result {
        let h = match side {
            Side::Left => HPos::Right,
            Side::Middle => HPos::Center,
            Side::Right => HPos::Left,
        };
        let font = FontDesc::new(FontFamily::SansSerif, size * FINE, style);
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(h, VPos::Center));
        self.area.draw(&Text::new(text.to_owned(), fine(at), style)).map_err(failed)
    }
}

fn stroke(colour: Rgb, width: f64) -> ShapeStyle {
    colour.stroke_width((width * FINE).round().max(1.0) as u32)
}

/// Gives the picture its size in points; the fine coordinates stay inside.
pub(super) fn sized(svg: &str, size: (f64, f64)) -> String {
    let (width, height) = fine(size);
    let fine = format!("<svg width=\"{width}\" height=\"{height}\"");
    let plain = format!("<svg width=\"{}\" height=\"{}\"", size.0, size.1);
    svg.replacen(&fine, &plain, 1)
}
