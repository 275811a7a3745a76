//! Models of Hugging Face by their names, where its own programs keep them: nothing is fetched here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::tokenizer::FILE_NAME;
use crate::error::{Error, Result};

/// The folder with `file` and others of the model `name`, such as `Qwen/Qwen3-8B`, in the cache of this machine.
///
/// The cache is `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else `huggingface/hub` in the user's folder for
/// caches. `None` where `name` cannot be a model's.
///
/// # Errors
/// When the cache does not have it: says how to fetch it.
pub fn find_model(name: &str, file: &str) -> Option<Result<PathBuf>> {
    is_model_name(name).then(|| find(name, file, cache(|key| std::env::var_os(key))))
}

/// Whether this is an owner and a model.
pub fn is_model_name(name: &str) -> bool {
    let word = |word: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        !word.is_empty() && !word.starts_with('.') && word.bytes().all(known)
    };
    let file = Path::new(name).extension().is_some_and(|extension| extension == "json");
    !file && name.split_once('/').is_some_and(|(owner, model)| word(owner) && word(model))
}

fn cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |key: &str| variable(key).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("HF_HUB_CACHE").or_else(|| {
        let home = folder("HF_HOME").or_else(|| {
            let caches = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
            Some(caches.join("huggingface"))
        })?;
        Some(home.join("hub"))
    })
}

fn find(name: &str, file: &str, cache: Option<PathBuf>) -> Result<PathBuf> {
    let place = cache
        .as_ref()
        .map_or_else(|| "no cache of models is known".into(), |cache| cache.display().to_string());
    let model = format!("models--{}", name.replace('/', "--"));
    let found = cache.and_then(|cache| snapshot(&cache.join(model), file));
    found.ok_or_else(|| {
        let beside = if file == FILE_NAME { " tokenizer_config.json" } else { "" };
        Error::Failed(format!(
            "{name}: no such file or folder, and no {file} of a model of this name in the cache of Hugging Face \
             ({place}); fetch it with: hf download {name} {file}{beside}"
        ))
    })
}

/// The files of the version that `main` was when it was fetched, or of the only version that was.
fn snapshot(model: &Path, file: &str) -> Option<PathBuf> {
    let snapshots = model.join("snapshots");
    let folder = match std::fs::read_to_string(model.join("refs/main")) {
        Ok(version) => snapshots.join(version.trim()),
        Err(_) => {
            let mut versions = std::fs::read_dir(&snapshots).ok()?.flatten();
            let only = versions.next()?;
            versions.next().is_none().then(|| only.path())?
        }
    };
    folder.join(file).is_file().then_some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_an_owner_and_are_no_files() {
        for name in ["Qwen/Qwen3-8B", "meta-llama/Llama-3.1-8B", "a/b_c.d"] {
            assert!(is_model_name(name), "{name}");
        }
        for other in ["gpt2", "a/b/c", "./a", "../a", "/a", "a/", "a/.b", "a b/c", "models/tokenizer.json"] {
            assert!(!is_model_name(other), "{other}");
        }
    }

    #[test]
    fn the_cache_is_where_hugging_face_has_it() {
        let found = |set: &[(&str, &str)]| {
            let value = |key: &str| set.iter().find(|(name, _)| *name == key).map(|(_, value)| value.into());
            cache(value).map(|path| path.display().to_string())
        };
        let all = [("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")];
        assert_eq!(found(&all).unwrap(), "/c");
        assert_eq!(found(&all[..3]).unwrap(), "/f/hub");
        assert_eq!(found(&all[..2]).unwrap(), "/x/huggingface/hub");
        assert_eq!(found(&all[..1]).unwrap(), "/h/.cache/huggingface/hub");
        assert_eq!(found(&[("HOME", ""), ("HF_HOME", "/f")]).unwrap(), "/f/hub");
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn a_model_is_found_in_the_version_of_main_or_the_only_one() {
        let cache = tempfile::tempdir().unwrap();
        let model = cache.path().join("models--o--m");
        let look = || find("o/m", FILE_NAME, Some(cache.path().to_owned()));
        let message = look().unwrap_err().to_string();
        assert!(message.contains("hf download o/m tokenizer.json tokenizer_config.json"), "{message}");
        assert!(message.contains(&cache.path().display().to_string()), "{message}");
        let version = |name: &str| {
            let folder = model.join("snapshots").join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(FILE_NAME), "{}").unwrap();
            folder
        };
        let first = version("1111");
        assert_eq!(look().unwrap(), first);
        let second = version("2222");
        assert!(look().is_err());
        std::fs::create_dir_all(model.join("refs")).unwrap();
        std::fs::write(model.join("refs/main"), "2222\n").unwrap();
        assert_eq!(look().unwrap(), second);
        std::fs::remove_file(second.join(FILE_NAME)).unwrap();
        assert!(look().is_err());
    }
}
