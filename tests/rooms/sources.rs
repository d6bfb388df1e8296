//! A crate's sources, as far as they show which module needs which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module: the names from the crate's root to it.
pub(crate) type Module = Vec<String>;

/// A crate's sources, without comments and tests.
pub(crate) struct Sources {
    code: BTreeMap<Module, String>,
}

impl Sources {
    /// Reads a folder with a crate's sources.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut code = BTreeMap::new();
        read_into(folder, &mut Vec::new(), &mut code);
        Self { code }
    }

    /// How many there are.
    pub(crate) fn modules(&self) -> usize {
        self.code.len()
    }

    /// The modules that have this text.
    pub(crate) fn that_have(&self, text: &str) -> impl Iterator<Item = &Module> {
        self.code.iter().filter(move |(_, code)| code.contains(text)).map(|(module, _)| module)
    }

    /// The types that each module defines at its outermost level.
    pub(crate) fn types(&self) -> impl Iterator<Item = (&Module, Vec<String>)> {
        let types = |code: &str| code.lines().filter_map(type_name).map(str::to_owned).collect();
        self.code.iter().map(move |(module, code)| (module, types(code)))
    }

    /// For each folder, which file or folder in it needs which other.
    pub(crate) fn needs(&self) -> BTreeMap<Module, BTreeSet<(String, String)>> {
        let mut handed_on = BTreeMap::new();
        for (module, code) in &self.code {
            for path in paths(code) {
                match self.resolve(module, &path) {
                    Some((from, Some(name))) if from != *module => {
                        handed_on.entry((module.clone(), name)).or_insert(from);
                    }
                    _ => {}
                }
            }
        }
        let mut needs: BTreeMap<Module, BTreeSet<(String, String)>> = BTreeMap::new();
        for (module, code) in &self.code {
            for path in paths(code) {
                let Some((mut from, name)) = self.resolve(module, &path) else { continue };
                // A name may be re-exported more than once.
                for _ in 0..8 {
                    let Some(name) = &name else { break };
                    let Some(origin) = handed_on.get(&(from.clone(), name.clone())) else { break };
                    from.clone_from(origin);
                }
                let common = module.iter().zip(&from).take_while(|(a, b)| a == b).count();
                if let (Some(one), Some(other)) = (module.get(common), from.get(common)) {
                    let folder = module[..common].to_vec();
                    needs.entry(folder).or_default().insert((one.clone(), other.clone()));
                }
            }
        }
        needs
    }

    /// The module that a path leads to, and the name in it, if the path goes on.
    fn resolve(&self, module: &Module, path: &str) -> Option<(Module, Option<String>)> {
        let mut words: Vec<&str> = path.split("::").collect();
        let mut base = match words[0] {
            "crate" => Module::new(),
            "self" | "super" => module.clone(),
            first => {
                let mut below = module.clone();
                below.push(first.to_owned());
                self.code.contains_key(&below).then(|| module.clone())?
            }
        };
        while let Some(&word @ ("crate" | "self" | "super")) = words.first() {
            if word == "super" {
                base.pop()?;
            }
            words.remove(0);
        }
        while let Some(word) = words.first() {
            let mut below = base.clone();
            below.push((*word).to_owned());
            if !self.code.contains_key(&below) {
                break;
            }
            base = below;
            words.remove(0);
        }
        Some((base, words.first().map(ToString::to_string)))
    }
}

fn read_into(folder: &Path, module: &mut Module, code: &mut BTreeMap<Module, String>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("it can be listed").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name of a module").to_owned();
        if name == "tests" {
            continue;
        }
        if path.is_dir() {
            module.push(name);
            read_into(&path, module, code);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut module = module.clone();
            if !matches!(&*name, "mod" | "lib" | "main") {
                module.push(name);
            }
            let text = fs::read_to_string(&path).expect("sources are text");
            code.entry(module).or_default().push_str(&without_comments(&text));
        }
    }
}

/// Without comments, and without the test module at its end.
fn without_comments(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The name of the type whose definition begins at this line, which is at the outermost level.
fn type_name(line: &str) -> Option<&str> {
    let mut rest = line.strip_prefix("pub").map_or(line, |rest| match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')').map_or(rest, |(_, rest)| rest),
        None => rest,
    });
    if rest.len() != line.len() {
        rest = rest.strip_prefix(' ')?;
    }
    let keywords = ["struct ", "enum ", "union ", "trait ", "type "];
    let rest = keywords.iter().find_map(|keyword| rest.strip_prefix(keyword))?;
    let end = rest.find(|character: char| !character.is_alphanumeric()).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// All paths in a text: those of `use`, and those that begin with `crate`, `super` or `self`.
fn paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for statement in code.split(';') {
        let Some(start) = statement.match_indices("use ").map(|(at, _)| at).find(|&at| begins(statement, at))
        else {
            continue;
        };
        paths.extend(expand(&statement[start + 4..]));
    }
    for first in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(first) {
            let is_whole = code[..at].chars().next_back().is_none_or(|before| !is_of_path(before));
            if is_whole {
                let end = code[at..].find(|character| !is_of_path(character)).unwrap_or(code.len() - at);
                paths.push(code[at..at + end].trim_end_matches(':').to_owned());
            }
        }
    }
    paths
}

/// Whether a word there is the first of a line, except for its visibility.
fn begins(statement: &str, at: usize) -> bool {
    let line = &statement[statement[..at].rfind('\n').map_or(0, |newline| newline + 1)..at];
    let line = line.trim();
    line.is_empty() || line == "pub" || line.starts_with("pub(") && line.ends_with(')')
}

const fn is_of_path(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | ':')
}

/// The single paths of a `use`, with its braces expanded.
fn expand(text: &str) -> Vec<String> {
    let text = text.split(" as ").next().filter(|_| !text.contains('{')).unwrap_or(text);
    let text: String = text.split_whitespace().collect();
    let Some((head, inside)) = text.split_once('{') else { return vec![text] };
    let mut depth = 0;
    let mut part = String::new();
    let mut parts = Vec::new();
    for character in inside.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(character);
    }
    parts.push(part);
    parts
        .iter()
        .filter(|part| !part.is_empty())
        .flat_map(|part| expand(part))
        .map(|path| format!("{head}{path}"))
        .collect()
}
