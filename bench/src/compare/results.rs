//! The table, and its place in RESULTS.md: each scenario has a section that a new run replaces.

use std::fmt::Write;
use std::fs;
use std::path::Path;

const TITLE: &str = "# Results\n\nWritten by `bench/compare.sh`; how to read it stands in README.md. Only ratios within one table mean \
    anything.\n";

/// A Markdown table.
#[derive(Debug)]
pub struct Table {
    columns: usize,
    text: String,
}

impl Table {
    /// With these heads; numbers go to the right of their cell.
    pub fn new(heads: &[&str]) -> Self {
        let mut table = Self { columns: heads.len(), text: String::new() };
        table.row(heads.iter().map(|&head| head.to_owned()));
        let rules = (0..heads.len()).map(|index| if index == 0 { "---" } else { "---:" }.to_owned());
        table.row(rules);
        table
    }

    /// Adds a row; cells that are missing are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().collect();
        cells.resize(self.columns, String::new());
        self.text.push_str("| ");
        self.text.push_str(&cells.join(" | "));
        self.text.push_str(" |\n");
    }

    /// The whole.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A ratio as it is shown: `0.71x`, or nothing to show.
pub fn ratio(of: f64, to: f64) -> String {
    let ratio = of / to;
    if ratio.is_finite() { format!("{ratio:.2}x") } else { "-".to_owned() }
}

/// Puts a section into the results, in place of the one of the same name.
///
/// # Errors
/// The file cannot be read or written.
pub fn update(path: &Path, section: &str, text: &str) -> Result<(), String> {
    let old = match fs::read_to_string(path) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => TITLE.to_owned(),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    fs::write(path, replace(&old, section, text)).map_err(|error| format!("{}: {error}", path.display()))
}

fn replace(old: &str, section: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- begin {section} -->\n"), format!("<!-- end {section} -->\n"));
    let mut new = String::new();
    let (before, after) = match (old.find(&begin), old.find(&end)) {
        (Some(from), Some(to)) if from < to => (&old[..from], &old[to + end.len()..]),
        _ => (old, ""),
    };
    let gap = if before.ends_with("\n\n") { "" } else { "\n" };
    // Writing to a string does not fail.
    let _ = write!(new, "{before}{gap}{begin}{}\n{end}{after}", text.trim_end());
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_added_once_and_then_replaced() {
        let one = replace("# Results\n", "a", "first\n");
        assert_eq!(one, "# Results\n\n<!-- begin a -->\nfirst\n<!-- end a -->\n");
        let two = replace(&one, "b", "other");
        let three = replace(&two, "a", "second");
        assert_eq!(
            three,
            "# Results\n\n<!-- begin a -->\nsecond\n<!-- end a -->\n\n<!-- begin b -->\nother\n<!-- end b -->\n"
        );
        assert_eq!(replace(&three, "a", "second"), three);
    }

    #[test]
    fn tables_are_markdown() {
        let mut table = Table::new(&["a", "b"]);
        table.row(["x".to_owned()]);
        assert_eq!(table.text(), "| a | b |\n| --- | ---: |\n| x |  |\n");
        assert_eq!((ratio(1.0, 2.0).as_str(), ratio(1.0, 0.0).as_str()), ("0.50x", "-"));
    }
}
