//! Line charts as plain SVG, drawn for a wide and for a narrow page; looks are the page's style sheet's.

use std::fmt::{self, Write};

use super::escape::Escaped;

/// Distance between the lines of two labels that would else lie on each other.
const LABEL_HEIGHT: f64 = 16.0;

/// A drawing's size and margins, in units of its view box.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// Class of the drawing, by which the style sheet shows the one that fits.
    pub(super) class: &'static str,
    /// Width of the view box.
    pub(super) width: f64,
    /// Height of the view box.
    pub(super) height: f64,
    /// Margin for the labels at the lines' ends; too small for them, there are none.
    pub(super) right: f64,
}

/// Margins for the labels of the axes.
const LEFT: f64 = 62.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 40.0;
/// A right margin from which on lines are labelled at their ends.
const LABELLED: f64 = 80.0;

impl Frame {
    /// For pages of at least 640 pixels, with that much room for labels.
    pub(super) const fn wide(height: f64, right: f64) -> Self {
        Self { class: "wide", width: 960.0, height, right }
    }

    /// For narrower ones.
    pub(super) const fn narrow(height: f64) -> Self {
        Self { class: "narrow", width: 420.0, height, right: 14.0 }
    }

    fn bottom(&self) -> f64 {
        self.height - BOTTOM
    }

    /// Where a share of the x axis lies.
    fn x(&self, share: f64) -> f64 {
        LEFT + share * (self.width - LEFT - self.right)
    }

    /// Where a share of the y axis lies.
    fn y(&self, share: f64) -> f64 {
        self.bottom() - share * (self.bottom() - TOP)
    }
}

/// An axis from its lowest to its highest value.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    /// Whether equal distances are equal ratios.
    pub(super) logarithmic: bool,
    /// Value at its begin; above 0 if logarithmic.
    pub(super) low: f64,
    /// Value at its end, above the lowest.
    pub(super) high: f64,
    /// Values that have a line, and their labels.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Where a value lies, from 0 to 1; what is beyond an end lies at it.
    pub(super) fn share(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.logarithmic { value.max(f64::MIN_POSITIVE).ln() } else { value };
        let share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low));
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }
}

/// A line.
#[derive(Debug)]
pub(super) struct Series {
    /// Class that gives it colour and dashes: `a` to `d`.
    pub(super) class: char,
    /// Words at its end.
    pub(super) label: String,
    /// Its points; between two runs there is nothing.
    pub(super) runs: Vec<Vec<(f64, f64)>>,
    /// Whether the area below it is tinted.
    pub(super) filled: bool,
}

/// A drawing.
#[derive(Debug)]
pub(super) struct Chart {
    /// Unique in the page.
    pub(super) id: &'static str,
    /// What it is, for those who don't see it.
    pub(super) title: String,
    /// What it shows, for those who don't see it.
    pub(super) description: String,
    /// The horizontal axis.
    pub(super) x: Axis,
    /// The vertical axis.
    pub(super) y: Axis,
    /// Lines, the most important first.
    pub(super) series: Vec<Series>,
    /// A stretch of the x axis that is set apart, and its name.
    pub(super) band: Option<(f64, f64, &'static str)>,
    /// A point with words.
    pub(super) note: Option<(f64, f64, String)>,
    /// Stretches of the x axis and what is shown when a mouse is over them.
    pub(super) hints: Vec<(f64, f64, String)>,
}

impl Chart {
    /// Draws it.
    pub(super) fn draw(&self, out: &mut String, frame: &Frame) -> fmt::Result {
        let Frame { class, width, height, .. } = frame;
        let id = format!("{}-{class}", self.id);
        write!(
            out,
            "<svg class=\"plot {class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
             <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
            Escaped(&self.title),
            Escaped(&self.description)
        )?;
        self.grid(out, frame)?;
        for series in self.series.iter().rev() {
            self.line(out, frame, series)?;
        }
        self.labels(out, frame)?;
        self.remark(out, frame)?;
        self.hints(out, frame)?;
        out.write_str("</svg>\n")
    }

    fn grid(&self, out: &mut String, frame: &Frame) -> fmt::Result {
        let (left, right, top, bottom) = (frame.x(0.0), frame.x(1.0), frame.y(1.0), frame.y(0.0));
        if let Some((from, to, name)) = self.band {
            let (from, to) = (frame.x(self.x.share(from)), frame.x(self.x.share(to)));
            let (width, height) = (to - from, bottom - top);
            write!(out, "<rect class=\"band\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>")?;
            // Four characters a third of the frame's text each: a narrower band stays without name.
            if width > 60.0 {
                write!(out, "<text class=\"aside\" x=\"{:.1}\" y=\"{:.1}\">{}</text>", from + 6.0, top + 14.0, Escaped(name))?;
            }
        }
        for (value, label) in &self.y.ticks {
            let y = frame.y(self.y.share(*value));
            write!(out, "<path class=\"grid\" d=\"M{left:.1} {y:.1}H{right:.1}\"/>")?;
            write!(out, "<text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{}</text>", left - 8.0, y + 4.0, Escaped(label))?;
        }
        // From the last to the first, so that the end of the axis keeps its label where there is no room for all.
        let mut free = frame.width;
        for (value, label) in self.x.ticks.iter().rev() {
            let at = frame.x(self.x.share(*value));
            write!(out, "<path class=\"grid\" d=\"M{at:.1} {top:.1}V{:.1}\"/>", bottom + 5.0)?;
            let half = half_width(label);
            let x = at.min(frame.width - half);
            if x + half <= free {
                write!(out, "<text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>", bottom + 20.0, Escaped(label))?;
                free = x - half;
            }
        }
        write!(out, "<path class=\"axis\" d=\"M{left:.1} {bottom:.1}H{right:.1}\"/>")
    }

    fn line(&self, out: &mut String, frame: &Frame, series: &Series) -> fmt::Result {
        let mut path = String::new();
        let mut area = String::new();
        for run in series.runs.iter().filter(|run| !run.is_empty()) {
            let points: Vec<_> = run.iter().map(|point| self.place(frame, *point)).collect();
            for (i, (x, y)) in points.iter().enumerate() {
                write!(path, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' })?;
            }
            if let [(x, y)] = points[..] {
                // A point by itself would not be drawn: a stroke without length gets its round ends.
                write!(path, "L{x:.1} {y:.1}")?;
            }
            if let (true, [(first, _), ..], [.., (last, _)]) = (series.filled, &points[..], &points[..]) {
                let (bottom, line) = (frame.y(0.0), points.iter().map(|(x, y)| format!("L{x:.1} {y:.1}")).collect::<String>());
                write!(area, "M{first:.1} {bottom:.1}{line}L{last:.1} {bottom:.1}Z")?;
            }
        }
        if !area.is_empty() {
            write!(out, "<path class=\"area {}\" d=\"{area}\"/>", series.class)?;
        }
        if path.is_empty() { Ok(()) } else { write!(out, "<path class=\"line {}\" d=\"{path}\"/>", series.class) }
    }

    fn labels(&self, out: &mut String, frame: &Frame) -> fmt::Result {
        if frame.right < LABELLED {
            return Ok(());
        }
        let end = |series: &Series| series.runs.iter().flatten().last().map(|point| self.place(frame, *point));
        let mut ends: Vec<_> = self.series.iter().filter_map(|series| end(series).map(|at| (series, at.0, at.1))).collect();
        ends.sort_by(|a, b| a.2.total_cmp(&b.2));
        let heights = apart(&ends.iter().map(|(_, _, y)| *y).collect::<Vec<_>>(), frame.y(1.0), frame.y(0.0));
        for ((series, x, _), y) in ends.iter().zip(heights) {
            let (class, label) = (series.class, Escaped(&series.label));
            write!(out, "<text class=\"end {class}\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>", x + 8.0, y + 4.0)?;
        }
        Ok(())
    }

    fn remark(&self, out: &mut String, frame: &Frame) -> fmt::Result {
        let Some((x, y, words)) = &self.note else { return Ok(()) };
        let (px, py) = self.place(frame, (*x, *y));
        // On the side with more room, so that it stays inside.
        let (anchor, shift) = if self.x.share(*x) < 0.5 { ("start", 8.0) } else { ("end", -8.0) };
        write!(out, "<circle class=\"note\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3.5\"/>")?;
        let (tx, ty, words) = (px + shift, py - 5.0, Escaped(words));
        write!(out, "<text class=\"note\" text-anchor=\"{anchor}\" x=\"{tx:.1}\" y=\"{ty:.1}\">{words}</text>")
    }

    fn hints(&self, out: &mut String, frame: &Frame) -> fmt::Result {
        let (top, height) = (frame.y(1.0), frame.y(0.0) - frame.y(1.0));
        for (from, to, words) in self.hints.iter().filter(|_| frame.right >= LABELLED) {
            let (x, end, words) = (frame.x(self.x.share(*from)), frame.x(self.x.share(*to)), Escaped(words));
            let width = end - x;
            write!(out, "<rect class=\"hint\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">")?;
            write!(out, "<title>{words}</title></rect>")?;
        }
        Ok(())
    }

    fn place(&self, frame: &Frame, (x, y): (f64, f64)) -> (f64, f64) {
        (frame.x(self.x.share(x)), frame.y(self.y.share(y)))
    }
}

/// About half the width of a label, whatever the font.
fn half_width(label: &str) -> f64 {
    label.chars().map(|_| 4.0).sum()
}

/// Moves sorted heights apart until none touches the next, within bounds as far as there is room.
fn apart(heights: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut placed = heights.to_vec();
    for i in 1..placed.len() {
        placed[i] = placed[i].max(placed[i - 1] + LABEL_HEIGHT);
    }
    let mut limit = bottom;
    for height in placed.iter_mut().rev() {
        *height = height.min(limit).max(top);
        limit = *height - LABEL_HEIGHT;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number of the attributes that place something.
    fn coordinates(svg: &str) -> Vec<(char, f64)> {
        let mut found = Vec::new();
        for (attribute, axis) in [(" x=\"", 'x'), (" cx=\"", 'x'), (" y=\"", 'y'), (" cy=\"", 'y')] {
            let values = svg.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap());
            found.extend(values.map(|value| (axis, value)));
        }
        for path in svg.split(" d=\"").skip(1) {
            for pair in
                path.split('"').next().unwrap().split(['M', 'L']).filter(|pair| pair.contains(' ') && !pair.contains(['H', 'V']))
            {
                let (x, y) = pair.trim_end_matches('Z').split_once(' ').unwrap();
                found.extend([('x', x.parse().unwrap()), ('y', y.parse().unwrap())]);
            }
        }
        found
    }

    /// Goal: nothing is drawn outside. Method: values at and far beyond the ends of both kinds of axis, each frame.
    #[test]
    fn extreme_values_stay_inside() {
        for logarithmic in [false, true] {
            let axis = Axis { logarithmic, low: 1.0, high: 1e6, ticks: vec![(1.0, "1".into()), (1e9, "far".into())] };
            let values = [0.0, 1.0, 1e9, f64::NAN, f64::INFINITY, -1.0];
            let points: Vec<_> = values.into_iter().flat_map(|x| values.map(|y| (x, y))).collect();
            let series =
                |class| Series { class, label: "l".into(), runs: vec![points.clone(), vec![], vec![(2.0, 2.0)]], filled: true };
            let chart = Chart {
                id: "c",
                title: "<t>".into(),
                description: "\"d\"".into(),
                x: axis.clone(),
                y: axis,
                series: vec![series('a'), series('b'), series('c')],
                band: Some((-5.0, 1e9, "band")),
                note: Some((1e9, 1e9, "most".into())),
                hints: vec![(0.0, 1e9, "<hint>".into())],
            };
            for frame in [Frame::wide(380.0, 100.0), Frame::narrow(150.0)] {
                let mut svg = String::new();
                chart.draw(&mut svg, &frame).unwrap();
                let found = coordinates(&svg);
                assert!(found.len() > 200);
                for (axis, value) in found {
                    assert!(
                        (0.0..=if axis == 'x' { frame.width } else { frame.height }).contains(&value),
                        "{axis} {value}\n{svg}"
                    );
                }
                assert!(svg.contains("&lt;t&gt;</title>") && svg.contains(">&quot;d&quot;</desc>"));
            }
        }
    }

    /// Goal: labels can be read where lines meet. Method: heights on each other, at both ends, and far apart.
    #[test]
    fn labels_keep_apart() {
        assert_eq!(apart(&[10.0, 50.0], 0.0, 100.0), [10.0, 50.0]);
        assert_eq!(apart(&[50.0, 50.0, 51.0], 0.0, 100.0), [50.0, 66.0, 82.0]);
        assert_eq!(apart(&[98.0, 99.0, 100.0], 0.0, 100.0), [68.0, 84.0, 100.0]);
        assert_eq!(apart(&[], 0.0, 100.0), [0.0; 0]);
    }
}
