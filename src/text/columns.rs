use std::iter::repeat_n;

/// Between two columns.
const GAP: usize = 2;

/// A folded column is not made narrower than this.
const NARROWEST: usize = 12;

/// Rows of cells that stand below each other, each column as wide as its widest cell.
///
/// A row may have fewer cells than there are columns: its last one may then reach over the columns that it lacks.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    /// Which columns stand to the right.
    right: Vec<bool>,
    indent: usize,
    widths: Vec<usize>,
    rows: Vec<Row>,
}

/// Cells, and whether words may be folded; without cells an empty line.
#[derive(Clone, Debug)]
struct Row {
    cells: Vec<String>,
    folds: bool,
}

impl Columns {
    /// Columns that stand to the left (`<`: words, which may be folded) and to the right (`>`: figures).
    pub fn new(sides: &str) -> Columns {
        let right: Vec<bool> = sides.chars().map(|side| side == '>').collect();
        Columns { widths: vec![0; right.len()], right, indent: 0, rows: Vec::new() }
    }

    /// With so many spaces before each line.
    pub fn indented(mut self, by: usize) -> Columns {
        self.indent = by;
        self
    }

    /// Adds a row.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        self.make_room(&cells);
        self.rows.push(Row { cells, folds: true });
    }

    /// Adds a row that stays in one line: its last cell is there to be copied.
    pub fn whole<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        self.make_room(&cells[..cells.len().saturating_sub(1)]);
        self.rows.push(Row { cells, folds: false });
    }

    /// Adds an empty line.
    pub fn gap(&mut self) {
        self.rows.push(Row { cells: Vec::new(), folds: false });
    }

    /// Makes the columns wide enough for a row that is to come: see [`Columns::line`].
    pub fn make_room<C: AsRef<str>>(&mut self, cells: &[C]) {
        let whole = cells.len() == self.widths.len();
        let counted = if whole { cells } else { &cells[..cells.len().saturating_sub(1)] };
        for (width, cell) in self.widths.iter_mut().zip(counted) {
            *width = (*width).max(letters(cell.as_ref()));
        }
    }

    /// A row by itself, where rows are shown one by one.
    pub fn line<C: AsRef<str>>(&self, cells: &[C]) -> String {
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        self.join(&cells, &self.widths)
    }

    /// All lines, none wider than `within` as far as folding words does it.
    pub fn lines(&self, within: usize) -> Vec<String> {
        let mut widths = self.folded(within);
        let rows: Vec<Vec<Vec<&str>>> =
            self.rows.iter().map(|row| self.fold_row(row, &widths, within)).collect();
        for (column, width) in widths.iter_mut().enumerate() {
            if *width < self.widths[column] {
                // Words seldom fill the width to which they were folded.
                let whole = rows
                    .iter()
                    .filter(|row| row.len() > column + 1 || row.len() == self.widths.len());
                let parts = whole.flat_map(|row| &row[column]);
                *width = parts.map(|part| letters(part)).max().unwrap_or(0);
            }
        }
        let mut lines = Vec::new();
        for row in &rows {
            let high = row.iter().map(Vec::len).max().unwrap_or(0).max(1);
            for line in 0..high {
                let cells: Vec<&str> =
                    row.iter().map(|cell| cell.get(line).copied().unwrap_or("")).collect();
                lines.push(self.join(&cells, &widths));
            }
        }
        lines
    }

    /// The lines of each cell of a row.
    fn fold_row<'a>(&self, row: &'a Row, widths: &[usize], within: usize) -> Vec<Vec<&'a str>> {
        let cells = &row.cells;
        let cell = |column: usize| match !row.folds || self.right[column] {
            true => vec![cells[column].as_str()],
            false => fold(&cells[column], self.width_of(cells, column, widths, within)),
        };
        (0..cells.len()).map(cell).collect()
    }

    /// All lines as one text.
    pub fn text(&self, within: usize) -> String {
        self.lines(within).into_iter().map(|line| line + "\n").collect()
    }

    /// How wide a cell may be: as its column, or, at the end of a short row, up to the end of the line.
    fn width_of(&self, cells: &[String], column: usize, widths: &[usize], within: usize) -> usize {
        if cells.len() == widths.len() || column + 1 < cells.len() {
            return widths[column];
        }
        let before: usize = widths[..column].iter().map(|wide| wide + GAP).sum();
        within.saturating_sub(self.indent + before).max(NARROWEST)
    }

    /// The widths with which the lines are no wider than `within`: columns of words give, the widest first.
    fn folded(&self, within: usize) -> Vec<usize> {
        let mut widths = self.widths.clone();
        let all = |widths: &[usize]| {
            self.indent + widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
        };
        loop {
            let over = all(&widths).saturating_sub(within);
            let words = (0..widths.len()).filter(|&c| !self.right[c] && widths[c] > NARROWEST);
            let Some(widest) = words.max_by_key(|&c| widths[c]).filter(|_| over > 0) else {
                return widths;
            };
            // No further than to the next widest at once, so that two long ones share.
            let others = (0..widths.len()).filter(|&c| c != widest && !self.right[c]);
            let next = others.map(|c| widths[c]).max().unwrap_or(0);
            let least = widths[widest].saturating_sub(over).max(NARROWEST);
            widths[widest] = least.max(next.min(widths[widest] - 1));
        }
    }

    fn join(&self, cells: &[&str], widths: &[usize]) -> String {
        let mut line: String = repeat_n(' ', self.indent).collect();
        let short = cells.len() < widths.len();
        for (column, cell) in cells.iter().enumerate() {
            if column > 0 {
                line.extend(repeat_n(' ', GAP));
            }
            let room = repeat_n(' ', widths[column].saturating_sub(letters(cell)));
            // What reaches over other columns begins where its own does.
            if self.right[column] && !(short && column + 1 == cells.len()) {
                line.extend(room);
                line += cell;
            } else {
                line += cell;
                line.extend(room);
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

fn letters(text: &str) -> usize {
    text.chars().count()
}

/// The text in lines of at most `width` letters, broken between words; a word that is longer stays whole.
pub(crate) fn fold(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while letters(rest) > width {
        // The last space up to which it fits, else the first.
        let end = rest.char_indices().nth(width + 1).map_or(rest.len(), |(at, _)| at);
        let Some(at) = rest[..end].rfind(' ').or_else(|| rest.find(' ')) else { break };
        lines.push(rest[..at].trim_end());
        rest = rest[at..].trim_start();
    }
    lines.push(rest);
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table() -> Columns {
        let mut table = Columns::new("<<>").indented(1);
        table.row(["motor", "outcome", "steps"]);
        table.row(["x", "short by 0.35 mm (its time-out passed)", "-40000"]);
        table.gap();
        table.row(["größe", "reached"]);
        table
    }

    #[test]
    fn cells_stand_below_each_other() {
        let wide = " motor  outcome                                  steps\n \
                    x      short by 0.35 mm (its time-out passed)  -40000\n\n größe  reached\n";
        assert_eq!(table().text(80), wide);
        assert_eq!(table().text(usize::MAX), wide);
    }

    #[test]
    fn words_are_folded_where_the_room_is_narrow() {
        let narrow = " motor  outcome            steps\n x      short by 0.35 mm  -40000\n        \
                      (its time-out\n        passed)\n\n größe  reached\n";
        assert_eq!(table().text(34), narrow);
    }

    #[test]
    fn a_short_row_reaches_over_what_it_lacks() {
        let mut table = Columns::new("<>>");
        table.row(["x", "1.5", "20/20"]);
        table.row(["long-name", "not looked at"]);
        assert_eq!(table.text(80), "x          1.5  20/20\nlong-name  not looked at\n");
        assert_eq!(table.line(&["y", "2", "3"]), "y            2      3");
    }

    proptest! {
        /// No word is lost or torn, and whatever can be folded fits in.
        #[test]
        fn folding_keeps_every_word(
            rows in prop::collection::vec(["[a-zé ]{0,60}", "[a-zé]{0,9}( [a-zé]{1,9}){0,9}", "[0-9]{0,7}"], 1..6),
            within in 40usize..120,
        ) {
            let mut table = Columns::new("<<>");
            rows.iter().for_each(|row| table.row(row.clone()));
            let lines = table.lines(within);
            let words = |text: &str| {
                let mut words: Vec<_> = text.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
                words.sort();
                words
            };
            let given: Vec<_> = rows.iter().flatten().flat_map(|cell| words(cell)).collect();
            let shown: Vec<_> = lines.iter().flat_map(|line| words(line)).collect();
            let sorted = |mut all: Vec<String>| { all.sort(); all };
            prop_assert_eq!(sorted(given), sorted(shown));
            let longest = rows.iter().flatten().flat_map(|cell| words(cell)).map(|w| letters(&w)).max().unwrap_or(0);
            if longest <= NARROWEST {
                prop_assert!(lines.iter().all(|line| letters(line) <= within), "{lines:?}");
            }
        }
    }
}
