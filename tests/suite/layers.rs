//! The order of the modules: each folder uses only those before it, and no files use each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The folders in the order in which data passes them; those on one line do not use each other.
const ORDER: &[&[&str]] = &[
    &["error"],
    &["io"],
    &["record"],
    &["tokens", "blocks"],
    &["fleet"],
    &["hash", "stats", "cat"],
    &["synth"],
    &["report"],
    &["cli"],
    &["bin"],
];

fn level(folder: &str) -> usize {
    ORDER.iter().position(|line| line.contains(&folder)).unwrap_or_else(|| panic!("unknown folder {folder}"))
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
fn no_module_uses_one_after_or_beside_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut uses = 0;
    for file in sources(&src) {
        let folder = file.strip_prefix(&src).unwrap().iter().next().unwrap();
        let folder = folder.to_str().unwrap().trim_end_matches(".rs");
        if folder == "lib" {
            continue;
        }
        for rest in std::fs::read_to_string(&file).unwrap().split("crate::").skip(1) {
            let name: String = rest.chars().take_while(|&c| is_word(c)).collect();
            uses += 1;
            assert!(
                name == folder || level(&name) < level(folder),
                "{}: {folder} uses {name}",
                file.display()
            );
        }
    }
    assert!(uses > 20);
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |file: PathBuf| {
        let name = file.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        (!name.starts_with("bin/")).then(|| (name, std::fs::read_to_string(&file).unwrap()))
    };
    let files: BTreeMap<String, String> = sources(&src).into_iter().filter_map(read).collect();
    let house = House::new(&files);
    let arrows = house.arrows();
    assert!(arrows.values().map(BTreeSet::len).sum::<usize>() > 100, "too few uses found: {arrows:?}");
    let circles = circles(&arrows);
    let inside = |circle: &BTreeSet<&str>| -> Vec<String> {
        let uses =
            |file: &&str| arrows[*file].iter().filter(|to| circle.contains(**to)).map(ToString::to_string);
        circle
            .iter()
            .map(|file| format!("{file} uses {}", uses(file).collect::<Vec<_>>().join(", ")))
            .collect()
    };
    let told: Vec<String> = circles.iter().map(|circle| inside(circle).join("\n")).collect();
    assert!(circles.is_empty(), "circles of files:\n{}", told.join("\n\n"));
}

#[test]
fn a_circle_is_found_through_paths_and_names_that_are_handed_on() {
    let circle_of = |files: &[(&str, &str)]| -> Vec<Vec<String>> {
        let files = files.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        let house = House::new(&files);
        let arrows = house.arrows();
        let owned = |circle: BTreeSet<&str>| circle.into_iter().map(str::to_owned).collect();
        circles(&arrows).into_iter().map(owned).collect()
    };
    let room = ("a/mod.rs", "mod b;\nmod c;\npub use b::B;\npub struct Own;");
    // By a use of a path from the root, and a path in the code.
    let b = ("a/b.rs", "use crate::a::{c::C};\npub struct B;");
    assert_eq!(circle_of(&[room, b, ("a/c.rs", "fn f() { super::b::g() }")]), [["a/b.rs", "a/c.rs"]]);
    // By a name that the folder hands on.
    assert_eq!(circle_of(&[room, b, ("a/c.rs", "use super::{Own, B};")]), [["a/b.rs", "a/c.rs"]]);
    // What the folder itself defines is the folder's; what it hands on does not make it a user.
    assert!(circle_of(&[room, b, ("a/c.rs", "use super::Own;")]).is_empty());
    let named_alike = ("a/mod.rs", "mod c;\npub use c::c;\npub struct Own;");
    assert!(circle_of(&[named_alike, ("a/c.rs", "use super::Own;")]).is_empty());
    let user = ("a/mod.rs", "mod b;\nmod c;\npub use c::C;\npub struct Own(C);");
    assert_eq!(circle_of(&[user, ("a/b.rs", ""), ("a/c.rs", "use super::Own;")]), [["a/c.rs", "a/mod.rs"]]);
    // Comments and tests do not count.
    let c = ("a/c.rs", "// super::b::B\nfn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::a::b::B;\n}\n");
    assert!(circle_of(&[room, b, c]).is_empty());
}

/// The source files by name (`record/mod.rs`), and what each imports.
struct House<'a> {
    /// The code of each file without comments, tests, `use` and `mod`.
    code: BTreeMap<&'a str, String>,
    /// Each file's imports: the name under which something is known in the file, and its path.
    imports: BTreeMap<&'a str, Vec<Import>>,
    /// The file of each module, by its path (`record::formats`).
    modules: BTreeMap<String, &'a str>,
}

struct Import {
    name: String,
    path: Vec<String>,
    /// Whether it is only handed on to others.
    public: bool,
}

impl<'a> House<'a> {
    fn new(files: &'a BTreeMap<String, String>) -> Self {
        let modules = files.keys().map(|file| (module(file).join("::"), file.as_str())).collect();
        let (mut code, mut imports) = (BTreeMap::new(), BTreeMap::new());
        for (file, text) in files {
            let (rest, found) = split_imports(&without_comments_and_tests(text));
            code.insert(file.as_str(), rest);
            imports.insert(file.as_str(), found);
        }
        Self { code, imports, modules }
    }

    /// Which files each file uses.
    fn arrows(&self) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let mut arrows = BTreeMap::new();
        for (&file, code) in &self.code {
            let words: BTreeSet<&str> = code.split(|c| !is_word(c)).collect();
            let used = self.imports[file].iter().filter(|i| !i.public || words.contains(i.name.as_str()));
            let paths = used.map(|import| import.path.clone()).chain(paths_in(code));
            let mut targets: BTreeSet<&str> = paths.filter_map(|path| self.resolve(file, &path, 0)).collect();
            targets.remove(file);
            arrows.insert(file, targets);
        }
        arrows
    }

    /// The file that defines what `path` names in `file`.
    fn resolve(&self, file: &str, path: &[String], depth: usize) -> Option<&'a str> {
        assert!(depth < 20, "{file}: names are handed on in a circle: {path:?}");
        let mut at = module(file);
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (at, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {}
            // A path that begins with no module of this folder leads out of the crate.
            child => drop(self.modules.get(&[&at[..], &[child.to_owned()]].concat().join("::"))?),
        }
        while rest.first().is_some_and(|part| part == "super") {
            at.pop();
            rest = &rest[1..];
        }
        while let Some(part) = rest.first() {
            at.push(part.clone());
            if !self.modules.contains_key(&at.join("::")) {
                at.pop();
                break;
            }
            rest = &rest[1..];
        }
        let home = *self.modules.get(&at.join("::"))?;
        let handed_on = rest.first().and_then(|name| self.imports[home].iter().find(|i| i.name == *name));
        let Some(import) = handed_on.filter(|_| home != file) else { return Some(home) };
        self.resolve(home, &import.path, depth + 1).or(Some(home))
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The path of the module in a file.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let path = if path == "lib" { "" } else { path };
    path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn without_comments_and_tests(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            // rustfmt ends an item with a brace, or in one line, at the margin.
            let item = lines.next().unwrap_or_default();
            if item.ends_with('{') {
                lines.find(|line| *line == "}");
            }
        } else if !line.trim_start().starts_with("//") && !is_module_declaration(line) {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

/// Whether a line says no more than that there is a file.
fn is_module_declaration(line: &str) -> bool {
    line.ends_with(';') && line.trim_end_matches(';').rsplit(' ').nth(1) == Some("mod")
}

/// The code without its `use`, and what they import.
fn split_imports(code: &str) -> (String, Vec<Import>) {
    let (mut rest, mut imports) = (String::new(), Vec::new());
    let mut statement: Option<String> = None;
    for line in code.lines() {
        let words = line.trim_start();
        let begins = statement.is_none()
            && if words.starts_with("pub") {
                words.split(' ').nth(1) == Some("use")
            } else {
                words.starts_with("use ")
            };
        if begins {
            statement = Some(String::new());
        }
        let Some(text) = &mut statement else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        text.push_str(words);
        if words.ends_with(';') {
            let (visibility, tree) = text.trim_end_matches(';').split_once("use ").unwrap();
            let public = !visibility.is_empty();
            for path in expanded(tree) {
                let (path, alias) =
                    path.split_once(" as ").map_or((path.as_str(), None), |(p, a)| (p, Some(a)));
                let path: Vec<String> = path
                    .split("::")
                    .filter(|part| *part != "self" || path.starts_with("self"))
                    .map(str::to_owned)
                    .collect();
                let name = alias.or(path.last().map(String::as_str)).unwrap_or_default().to_owned();
                imports.push(Import { name, path, public });
            }
            statement = None;
        }
    }
    (rest, imports)
}

/// The paths of a tree such as `a::{b, c::{d, e}}`.
fn expanded(tree: &str) -> Vec<String> {
    let Some((prefix, inner)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
    parts.flat_map(|part| expanded(&format!("{}{part}", prefix.trim()))).collect()
}

/// The paths with `::` that stand in code.
fn paths_in(code: &str) -> Vec<Vec<String>> {
    let path = |text: &str| -> Option<Vec<String>> {
        let parts: Vec<String> = text.trim_matches(':').split("::").map(str::to_owned).collect();
        (parts.len() > 1).then_some(parts)
    };
    code.split(|c: char| !is_word(c) && c != ':').filter_map(path).collect()
}

/// The sets of files that use each other, directly or through others.
fn circles<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<BTreeSet<&'a str>> {
    let reached = |from: &'a str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            open.extend(arrows[file].iter().filter(|&&next| seen.insert(next)));
        }
        seen
    };
    let reach: BTreeMap<&str, BTreeSet<&str>> = arrows.keys().map(|&file| (file, reached(file))).collect();
    let mut circles: Vec<BTreeSet<&str>> = Vec::new();
    for (&file, files) in &reach {
        if files.contains(file) && !circles.iter().any(|circle| circle.contains(file)) {
            circles.push(files.iter().copied().filter(|other| reach[other].contains(file)).collect());
        }
    }
    circles
}
