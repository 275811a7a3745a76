//! Names of inputs that are not on this machine: nothing is fetched here, so the message says what fetches it.

use std::path::Path;

use crate::error::{Error, Result};
use crate::tokens::is_model_name;

/// Refuses inputs that no file system has but others do: addresses, and names on the hub of Hugging Face.
///
/// # Errors
/// With the command that brings the input here.
pub(super) fn refuse(program: &str, files: &[impl AsRef<Path>]) -> Result<()> {
    let far = files.iter().map(AsRef::as_ref).filter(|file| !file.exists());
    match far.filter_map(Path::to_str).find_map(|name| hint(program, name)) {
        Some(message) => Err(Error::Failed(message)),
        None => Ok(()),
    }
}

fn hint(program: &str, name: &str) -> Option<String> {
    let piped = |command: &str| format!("{name}: nothing is fetched here; try: {command} | {program}");
    Some(match name.split_once("://") {
        Some(("http" | "https" | "ftp", _)) => piped(&format!("curl -fL {name}")),
        Some(("s3", _)) => piped(&format!("aws s3 cp {name} -")),
        Some(("gs", _)) => piped(&format!("gcloud storage cat {name}")),
        Some(("hf", path)) => piped(&format!("cat \"$(hf download --quiet {})\"", on_hub(path))),
        Some((scheme, _)) => format!("{name}: no such file, and no {scheme} is spoken here; pipe it in"),
        None if is_on_hub(name) => format!(
            "{name}: no such file; if it is a data set on the hub of Hugging Face: \
             hf download --repo-type dataset {name}"
        ),
        None => return None,
    })
}

/// What fetches a file of the hub: `datasets/OWNER/NAME/FILE`, or a model's without the first word.
fn on_hub(path: &str) -> String {
    let (kind, path) =
        path.strip_prefix("datasets/").map_or(("", path), |rest| ("--repo-type dataset ", rest));
    let mut parts = path.splitn(3, '/');
    let name: Vec<&str> = parts.by_ref().take(2).collect();
    format!("{kind}{} {}", name.join("/"), parts.next().unwrap_or("FILE"))
}

/// Whether this is an owner and a name, and not a folder and a file with its extension.
fn is_on_hub(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or("0");
    is_model_name(name) && !extension.chars().all(|c| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_get_the_command_that_fetches_them() {
        for (name, part) in [
            ("https://x.org/a.jsonl", "try: curl -fL https://x.org/a.jsonl | trace-stats"),
            ("s3://bucket/a.jsonl.gz", "aws s3 cp s3://bucket/a.jsonl.gz - | trace-stats"),
            ("gs://b/a", "gcloud storage cat gs://b/a | trace-stats"),
            (
                "hf://datasets/o/n/d/a.jsonl",
                "hf download --quiet --repo-type dataset o/n d/a.jsonl)\" | trace",
            ),
            ("Qwen/Qwen3-8B", "hf download --repo-type dataset Qwen/Qwen3-8B"),
        ] {
            let message = refuse("trace-stats", &[name]).unwrap_err().to_string();
            assert!(message.starts_with(name) && message.contains(part), "{message}");
        }
        // A folder with an extension is a path that was mistyped, as is a name alone.
        assert!(
            refuse("trace-stats", &["-", "traces/a.jsonl", "missing", "Cargo.toml", "src/lib.rs"]).is_ok()
        );
    }
}
