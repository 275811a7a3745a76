//! What we build on: licences, sources and double versions as `deny.toml` allows them, and the table of
//! reasons. `cargo deny` checks the same and more, where it is installed.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The strings of a list `name = [ ... ]` of `deny.toml`.
fn list(toml: &str, name: &str) -> BTreeSet<String> {
    let start = format!("\n{name} = [");
    let body = toml.split(&start).nth(1).unwrap_or_else(|| panic!("no list {name}"));
    let body = body.split("\n]").next().unwrap().lines().filter(|line| !line.trim_start().starts_with('#'));
    body.flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Packages of the lock file: name, version, source.
fn locked() -> Vec<(String, String, Option<String>)> {
    let lock = text("Cargo.lock");
    let field = |entry: &str, name: &str| {
        let line = entry.lines().find_map(|line| line.strip_prefix(&format!("{name} = \"")));
        line.map(|line| line.trim_end_matches('"').to_owned())
    };
    let entries = lock.split("[[package]]").skip(1);
    entries.map(|e| (field(e, "name").unwrap(), field(e, "version").unwrap(), field(e, "source"))).collect()
}

/// The packages that are built here, with their licences.
fn licences() -> BTreeMap<String, String> {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(rustc.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let string = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|package| (string(&package["name"]), string(&package["license"]))).collect()
}

/// Whether an SPDX expression can be met with what `allows`.
fn is_met(expression: &str, allows: &impl Fn(&str) -> bool) -> bool {
    // An old way to write "or".
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, rest) = any_of(&words, allows);
    assert!(rest.is_empty(), "{expression}");
    met
}

fn any_of<'w>(words: &'w [&'w str], allows: &impl Fn(&str) -> bool) -> (bool, &'w [&'w str]) {
    let (mut met, mut rest) = all_of(words, allows);
    while let ["OR", more @ ..] = rest {
        let (other, after) = all_of(more, allows);
        (met, rest) = (met | other, after);
    }
    (met, rest)
}

fn all_of<'w>(words: &'w [&'w str], allows: &impl Fn(&str) -> bool) -> (bool, &'w [&'w str]) {
    let (mut met, mut rest) = one(words, allows);
    while let ["AND", more @ ..] = rest {
        let (other, after) = one(more, allows);
        (met, rest) = (met & other, after);
    }
    (met, rest)
}

fn one<'w>(words: &'w [&'w str], allows: &impl Fn(&str) -> bool) -> (bool, &'w [&'w str]) {
    match words {
        ["(", inner @ ..] => {
            let (met, rest) = any_of(inner, allows);
            assert_eq!(rest.first(), Some(&")"));
            (met, &rest[1..])
        }
        [name, "WITH", exception, rest @ ..] => (allows(&format!("{name} WITH {exception}")), rest),
        [name, rest @ ..] => (allows(name), rest),
        [] => panic!("an expression ends early"),
    }
}

#[test]
fn expressions_of_licences_are_understood() {
    let allows = |name: &str| ["MIT", "Zlib", "A WITH x"].contains(&name);
    for good in
        ["MIT", "GPL OR MIT", "GPL/MIT", "(GPL OR MIT) AND Zlib", "A WITH x OR GPL", "GPL AND X OR MIT"]
    {
        assert!(is_met(good, &allows), "{good}");
    }
    for bad in ["GPL", "MIT AND GPL", "(MIT OR Zlib) AND GPL", "A", "A WITH y", "none"] {
        assert!(!is_met(bad, &allows), "{bad}");
    }
}

#[test]
fn every_licence_is_one_of_those_allowed() {
    let deny = text("deny.toml");
    let allowed = list(&deny, "allow");
    let exceptions = list(&deny, "exceptions");
    let packages = licences();
    assert!(packages.len() > 80 && allowed.len() > 5);
    for (name, licence) in packages {
        let allows =
            |one: &str| allowed.contains(one) || exceptions.contains(&name) && exceptions.contains(one);
        assert!(is_met(&licence, &allows), "{name}: {licence}");
    }
}

#[test]
fn every_package_is_from_the_registry_and_of_one_version() {
    let deny = text("deny.toml");
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, version, source) in locked() {
        let ours = name == env!("CARGO_PKG_NAME");
        assert!(
            ours || source.as_deref() == Some("registry+https://github.com/rust-lang/crates.io-index"),
            "{name}"
        );
        versions.entry(name).or_default().insert(version);
    }
    let double: BTreeSet<String> =
        versions.iter().filter(|(_, v)| v.len() > 1).map(|(n, _)| n.clone()).collect();
    assert_eq!(double, list(&deny, "skip"), "double versions, and the list \"skip\" of deny.toml");
    for banned in list(&deny, "deny") {
        assert!(!versions.contains_key(&banned), "{banned}");
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = text("Cargo.toml");
    let mut dependencies = BTreeSet::new();
    for section in
        manifest.split("\n[").filter(|section| section.split(']').next().unwrap().ends_with("dependencies"))
    {
        let lines = section.lines().skip(1).filter(|line| !line.is_empty() && !line.starts_with('#'));
        dependencies.extend(lines.map(|line| line.split(" = ").next().unwrap().to_owned()));
    }
    let table = text("docs/dependencies.md");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let reasons: BTreeMap<String, usize> =
        rows.map(|(name, reason)| (name.to_owned(), reason.len())).collect();
    assert!(dependencies.len() > 20);
    assert_eq!(reasons.keys().cloned().collect::<BTreeSet<_>>(), dependencies);
    assert!(reasons.values().all(|&length| length > 10), "{reasons:?}");
}

#[test]
fn unsafe_code_is_forbidden() {
    assert!(text("Cargo.toml").contains("\nunsafe_code = \"forbid\"\n"));
}
