//! The list of scenarios, and the lists of those that are skipped, or not met on purpose, each with
//! a reason.

use etcd3_lab::etcd::Version;
use etcd3_lab::{Error, Result};
use std::collections::BTreeMap;

/// The columns of the list, in their order.
pub(super) const COLUMNS: [&str; 9] =
    ["id", "area", "upstream_file", "upstream_test", "given", "when", "then", "needs", "portable"];

/// One row: what one of etcd's own tests demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scenario {
    columns: [String; 9],
}

impl Scenario {
    pub(super) fn id(&self) -> &str {
        &self.columns[0]
    }

    pub(super) fn area(&self) -> &str {
        &self.columns[1]
    }

    /// Tells whether a client in another language than etcd's own can be held to it.
    pub(super) fn portable(&self) -> bool {
        self.columns[8] == "yes"
    }

    /// Returns the first version of etcd that has what the scenario is about; the oldest one of all
    /// when the scenario names none.
    pub(super) fn since(&self) -> Version {
        let needs = self.columns[7].split_once("server>=").map_or("", |(_, version)| version);
        let version = needs.split(|c: char| c != '.' && !c.is_ascii_digit()).next();
        let mut parts = version.unwrap_or_default().split('.').map(|part| part.parse().ok());
        let mut part = || parts.next().flatten().unwrap_or_default();
        Version { major: part(), minor: part(), patch: part() }
    }

    /// Returns all columns with their names.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        COLUMNS.into_iter().zip(self.columns.iter().map(String::as_str))
    }
}

/// The reasons of what a list of scenarios names, by id.
pub(super) type Reasons = BTreeMap<String, String>;

/// All scenarios in the order of the list, and the reasons of those that are skipped and of
/// those whose cases show on purpose something else than they demand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scenarios {
    pub(super) rows: Vec<Scenario>,
    pub(super) skips: Reasons,
    pub(super) deviations: Reasons,
    places: BTreeMap<String, usize>,
}

impl Scenarios {
    pub(super) fn parse(list: &str, skips: &str, deviations: &str) -> Result<Self> {
        let mut scenarios = Self::default();
        let mut lines = rows_of(list);
        let head = lines.next().map(|(_, cells)| cells).unwrap_or_default();
        if head != COLUMNS {
            let expected = COLUMNS.join(", ");
            return Err(Error::new(format!("scenarios.tsv has other columns than {expected}.")));
        }
        for (number, cells) in lines {
            let columns = cells.map_owned().map_err(|cells| {
                Error::new(format!("scenarios.tsv line {number} has {cells} columns, not 9."))
            })?;
            let row = Scenario { columns };
            if scenarios.places.insert(row.id().to_owned(), scenarios.rows.len()).is_some() {
                return Err(Error::new(format!("scenarios.tsv has {} twice.", row.id())));
            }
            scenarios.rows.push(row);
        }
        scenarios.skips = reasons("skips.tsv", skips)?;
        scenarios.deviations = reasons("deviations.tsv", deviations)?;
        Ok(scenarios)
    }

    pub(super) fn find(&self, id: &str) -> Option<&Scenario> {
        self.places.get(id).map(|&place| &self.rows[place])
    }
}

fn reasons(file: &str, table: &str) -> Result<Reasons> {
    let mut reasons = Reasons::new();
    for (number, cells) in rows_of(table).filter(|(_, cells)| cells[0] != "id") {
        let [id, reason] = cells[..] else {
            return Err(Error::new(format!("{file} line {number} is not id, tab, reason.")));
        };
        reasons.insert(id.to_owned(), reason.trim().to_owned());
    }
    Ok(reasons)
}

/// A conversion of borrowed cells into a row of owned ones.
trait MapOwned {
    fn map_owned(self) -> std::result::Result<[String; 9], usize>;
}

impl MapOwned for Vec<&str> {
    fn map_owned(self) -> std::result::Result<[String; 9], usize> {
        let cells: Vec<String> = self.into_iter().map(str::to_owned).collect();
        cells.try_into().map_err(|cells: Vec<String>| cells.len())
    }
}

/// Splits a table into cells, without empty lines and comments.
pub(super) fn rows_of(table: &str) -> impl Iterator<Item = (usize, Vec<&str>)> {
    let lines = table.lines().enumerate().map(|(index, line)| (index + 1, line));
    let full = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    full.map(|(number, line)| (number, line.split('\t').collect()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Makes a list of `id area portable` rows, and of `id reason` skips. What follows the area,
    /// after a space, is what the row needs.
    pub(crate) fn scenarios(rows: &[(&str, &str, &str)], skips: &str) -> Scenarios {
        with_deviations(rows, skips, "")
    }

    /// The same with `id reason` deviations.
    pub(crate) fn with_deviations(
        rows: &[(&str, &str, &str)],
        skips: &str,
        deviations: &str,
    ) -> Scenarios {
        let rows = rows.iter().map(|(id, area, portable)| {
            let (area, needs) = area.split_once(' ').unwrap_or((area, "single"));
            format!("{id}\t{area}\tf.go\tTestX\tg\tw\tt\t{needs}\t{portable}")
        });
        let lines: Vec<String> = [COLUMNS.join("\t")].into_iter().chain(rows).collect();
        Scenarios::parse(&lines.join("\n"), skips, deviations).unwrap()
    }

    #[test]
    fn the_first_version_stands_in_what_a_row_needs() {
        let rows = [
            ("KV-1", "kv single; server>=3.8 (RangeStream)", "yes"),
            ("KV-2", "kv flags --a, --b; server>=3.5.28; tls", "yes"),
            ("KV-3", "kv single; RangeStream half needs >=3.8", "yes"),
        ];
        let read = scenarios(&rows, "");
        let since: Vec<String> = read.rows.iter().map(|row| row.since().to_string()).collect();
        assert_eq!(since, ["3.8.0", "3.5.28", "0.0.0"]);
    }

    #[test]
    fn rows_and_skips_are_read() {
        let rows = [("KV-001", "kv", "yes"), ("KV-002", "kv", "no")];
        let read = scenarios(&rows, "id\treason\n# why\nKV-001\tno such flag\n");
        assert_eq!(read.rows.len(), 2);
        assert!(read.find("KV-001").unwrap().portable());
        assert!(!read.find("KV-002").unwrap().portable());
        assert!(read.find("KV-003").is_none());
        assert_eq!(read.skips["KV-001"], "no such flag");
    }

    #[test]
    fn malformed_tables_are_refused_with_their_line() {
        let head = COLUMNS.join("\t");
        let row = "A\tkv\tf\tt\tg\tw\tt\tn\tyes";
        let error = |list: &str, skips: &str| {
            Scenarios::parse(list, skips, "").unwrap_err().to_string() //
        };
        assert!(error("id\tarea\n", "").contains("columns"));
        assert!(error(&format!("{head}\nA\tkv\n"), "").contains("line 2 has 2"));
        assert!(error(&format!("{head}\n{row}\n{row}\n"), "").contains("A twice"));
        assert!(error(&format!("{head}\n{row}\n"), "\nA\n").contains("line 2"));
        let bad = Scenarios::parse(&format!("{head}\n{row}\n"), "", "A\n").unwrap_err();
        assert!(bad.to_string().contains("deviations.tsv line 1"), "{bad}");
    }
}
