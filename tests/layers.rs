//! The order of the modules: each one uses only those below it.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// The rooms from the bottom up; those on one line do not know each other.
const ORDER: &[&[&str]] = &[
    &["error"],
    &["io"],
    &["record"],
    &["tokens", "blocks"],
    &["hash", "stats", "cat"],
    &["synth"],
    &["report"],
    &["cli"],
    &["bin"],
];

fn level(room: &str) -> usize {
    ORDER.iter().position(|rooms| rooms.contains(&room)).unwrap_or_else(|| panic!("unknown room {room}"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn no_module_uses_one_above_or_beside_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut uses = 0;
    for file in sources(&src) {
        let room = file.strip_prefix(&src).unwrap().iter().next().unwrap();
        let room = room.to_str().unwrap().trim_end_matches(".rs");
        if room == "lib" {
            continue;
        }
        for rest in std::fs::read_to_string(&file).unwrap().split("crate::").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            uses += 1;
            assert!(name == room || level(&name) < level(room), "{}: {room} uses {name}", file.display());
        }
    }
    assert!(uses > 20);
}
