//! Arguments that several commands of `presentia charging` have.

use super::super::terminal::say;
use crate::charging::cdr::{CSV_COLUMNS, Cdr};

/// Which record or charge.
#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// As the lists and the log of the server have it
    #[arg(value_name = "NUMBER")]
    pub number: u64,
}

/// Who changes something, and why.
#[derive(Debug, clap::Args)]
pub(super) struct Order {
    /// The reason, for the audit log of a running server
    #[arg(long, value_name = "TEXT", default_value = "ordered by the operator")]
    pub why: String,
    /// Who orders it, for the audit log. Default: the user of this session
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// How records are written.
#[derive(Debug, clap::Args)]
pub(super) struct Form {
    /// JSON, one object a line, or CSV with a line of names
    #[arg(long, value_name = "FORMAT", default_value = "json", value_parser = ["json", "csv"])]
    format: String,
}

impl Form {
    /// What comes before the records.
    pub fn begin(&self) {
        if self.format == "csv" {
            say(CSV_COLUMNS);
        }
    }

    /// Prints a record; `false`: nobody reads any more.
    pub fn say(&self, cdr: &Cdr) -> bool {
        match self.format.as_str() {
            "csv" => say(&cdr.to_csv()),
            _ => say(&cdr.to_json()),
        }
    }
}
