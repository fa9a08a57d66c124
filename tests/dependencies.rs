//! Which module may know which: docs/architecture.md draws it, this holds it.

use std::collections::BTreeSet;
use std::path::Path;

/// Each module and all that it may name, from the ground up.
const ALLOWED: &[(&str, &[&str])] = &[
    ("interrupt", &[]),
    ("oneline", &[]),
    ("documents", &[]),
    ("languages", &[]),
    ("config", &[]),
    ("kernels", &[]),
    ("context", &["documents", "languages"]),
    ("model", &["interrupt", "kernels"]),
    ("engine", &["config", "interrupt", "kernels", "model"]),
    ("completion", &["config", "context", "documents", "engine", "interrupt", "languages", "model"]),
    ("generation", &["context", "documents", "engine", "interrupt", "languages"]),
    (
        "worker",
        &["completion", "config", "context", "documents", "engine", "generation", "interrupt", "oneline"],
    ),
    (
        "server",
        &[
            "completion",
            "config",
            "documents",
            "engine",
            "generation",
            "interrupt",
            "languages",
            "model",
            "oneline",
            "worker",
        ],
    ),
    (
        "cli",
        &[
            "completion",
            "config",
            "context",
            "documents",
            "engine",
            "generation",
            "interrupt",
            "languages",
            "model",
            "oneline",
            "server",
        ],
    ),
];

/// The modules that a source text names by `crate::`, grouped imports as well.
fn named(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, start) in text.match_indices("crate::") {
        let rest = &text[at + start.len()..];
        let list = match rest.strip_prefix('{') {
            Some(group) => outer(&group[..group.find(';').unwrap_or(group.len())]),
            None => rest.to_owned(),
        };
        let parts: Vec<&str> = if rest.starts_with('{') { list.split(',').collect() } else { vec![&list] };
        for part in parts {
            let name: String =
                part.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            found.insert(name);
        }
    }
    found.remove("");
    found
}

/// A group of imports without what stands in groups inside it.
fn outer(group: &str) -> String {
    let mut depth = 0;
    let kept = group.chars().filter(|character| {
        depth += i32::from(*character == '{') - i32::from(*character == '}');
        depth == 0
    });
    kept.collect()
}

fn texts(path: &Path) -> Vec<String> {
    if path.is_file() {
        return vec![std::fs::read_to_string(path).unwrap()];
    }
    let mut all = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        all.extend(texts(&entry.unwrap().path()));
    }
    all
}

#[test]
fn grouped_imports_are_seen() {
    let names = named("use crate::{completion, generation::{self, Edit}};\nuse crate::model::{a, b};");
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["completion", "generation", "model"]);
}

#[test]
fn modules_know_only_what_is_below_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut checked = BTreeSet::from(["lib".to_owned(), "main".to_owned()]);
    for (module, allowed) in ALLOWED {
        let (folder, file) = (src.join(module), src.join(format!("{module}.rs")));
        let path = if folder.is_dir() { folder } else { file };
        let names: BTreeSet<String> = texts(&path).iter().flat_map(|text| named(text)).collect();
        for name in names.iter().filter(|name| *name != module) {
            assert!(allowed.contains(&name.as_str()), "{module} names {name}, which is not below it");
        }
        checked.insert((*module).to_owned());
    }
    for entry in std::fs::read_dir(&src).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(checked.contains(&name), "the module {name} has no line here");
    }
}
