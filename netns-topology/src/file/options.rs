//! Options of bridges, ports and links in a file, by `ip`'s names for them.

use super::Wrong;
use super::tables::{OptionsTable, Scalar};
use super::values::in_order;
use netns_core::option::{OptionForm, OptionRow, Options};

/// Reads a table into `options`.
pub(super) fn read_options(options: &mut dyn Options, table: &OptionsTable) -> Wrong<()> {
    for (name, scalar) in in_order(table.clone()) {
        let text = match scalar.get_ref() {
            Scalar::Switch(on) => if *on { "on" } else { "off" }.to_owned(),
            other => other.text(),
        };
        let rows = options.rows();
        let named: Vec<usize> = (0..rows.len())
            .filter(|&row| rows[row].is_called(name.get_ref()) && is_known(&rows[row]))
            .collect();
        let Some(&first) = named.first() else {
            let known: Vec<_> = rows.iter().filter(|row| is_known(row)).map(|row| row.name).collect();
            let message =
                format!("there is no option {:?}; expected one of: {}", name.get_ref(), known.join(", "));
            return Err((name.span(), message));
        };
        let set =
            named.iter().any(|&row| rows[row].parse(&text).is_some_and(|value| options.set(row, value)));
        if !set {
            let row = &rows[first];
            return Err((scalar.span(), format!("{} is {text:?}; expected {}", row.name, row.expected())));
        }
    }
    Ok(())
}

/// A file does not know the index that a link will have.
fn is_known(row: &OptionRow) -> bool {
    row.form != OptionForm::Link
}
