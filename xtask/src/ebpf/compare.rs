//! What is different between two objects, for people to read.

use super::object::parts;

/// The differences that matter: instructions, maps and other data, types. Line information is not compared.
pub(super) fn differences(committed: &[u8], rebuilt: &[u8]) -> Result<Vec<String>, String> {
    let committed = parts(committed).map_err(|error| format!("the committed object: {error}"))?;
    let mut rebuilt = parts(rebuilt).map_err(|error| format!("the rebuilt object: {error}"))?;
    let mut differences = Vec::new();
    for (name, committed) in committed {
        match rebuilt.remove(&name) {
            Some(rebuilt) => differences.extend(difference(&name, &committed, &rebuilt)),
            None => differences.push(format!("{name}: only in the committed object")),
        }
    }
    differences.extend(rebuilt.keys().map(|name| format!("{name}: only in the rebuilt object")));
    Ok(differences)
}

/// Where two lists of lines part.
fn difference(name: &str, committed: &[String], rebuilt: &[String]) -> Option<String> {
    let place = (0..committed.len().max(rebuilt.len())).find(|&n| committed.get(n) != rebuilt.get(n))?;
    let line = |lines: &[String]| lines.get(place).map_or_else(|| "(the end)".into(), String::clone);
    Some(format!(
        "{name}: {} lines committed, {} rebuilt; they part at line {place}:\n  committed: {}\n  rebuilt:   {}",
        committed.len(),
        rebuilt.len(),
        line(committed),
        line(rebuilt)
    ))
}

#[cfg(test)]
mod tests;
