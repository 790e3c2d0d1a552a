//! Tables for a person.

use std::fmt;
use std::time::{Duration, Instant};

/// Rows of words, printed in aligned columns; the first column to the left, the others to the
/// right.
#[derive(Debug, Clone, Default)]
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// Begins with the names of the columns.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Self(vec![columns.into_iter().map(Into::into).collect()])
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.0.push(cells.into_iter().map(Into::into).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.0 {
            let cells = row.iter().zip(&widths).enumerate();
            let cells: Vec<String> = cells
                .map(|(column, (cell, width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// An amount of time, in milliseconds.
pub fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// A moment, in milliseconds from another one.
pub fn offset(moment: Option<Instant>, origin: Instant) -> String {
    match moment {
        None => "-".to_owned(),
        Some(moment) if moment < origin => format!("-{} ms", (origin - moment).as_millis()),
        Some(moment) => format!("+{} ms", (moment - origin).as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_spaces_at_the_end() {
        let mut table = Table::new(["fault", "gap", ""]);
        table.row(["kill", "12 ms", "ok"]);
        table.row(["partition", "7 ms"]);
        let expected = "fault        gap\nkill       12 ms  ok\npartition   7 ms\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn moments_are_told_from_an_origin() {
        let (origin, step) = (Instant::now(), Duration::from_millis(5));
        assert_eq!(offset(Some(origin + step), origin), "+5 ms");
        assert_eq!(offset(Some(origin), origin + step), "-5 ms");
        assert_eq!(offset(None, origin), "-");
    }
}
