//! Which objects of a record are searched for a field, and paths into them.

use serde_json::value::RawValue;

use super::fields::object_at;
use crate::record::json::RawObject;

/// Where the fields beside a prompt are looked for: first in the record itself, which is what a
/// logger adds to a request, then in the object inside it that holds the prompt.
pub(super) struct Scope<'s, 'a> {
    pub(super) record: &'s RawObject<'a>,
    pub(super) inner: Option<&'s RawObject<'a>>,
}

impl<'s, 'a> Scope<'s, 'a> {
    pub(super) fn innermost(&self) -> &'s RawObject<'a> {
        self.inner.unwrap_or(self.record)
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = &'s RawObject<'a>> + use<'s, 'a> {
        std::iter::once(self.record).chain(self.inner)
    }

    /// The first of `names` that is present, and its value.
    pub(super) fn first<'n>(&self, names: &[&'n str]) -> Option<(&'n str, &'a RawValue)> {
        self.objects().find_map(|object| names.iter().find_map(|&name| Some((name, object.get(name)?))))
    }
}

/// The first of `names` that `object` has, and its value.
pub(super) fn present<'a, 'n>(object: &RawObject<'a>, names: &[&'n str]) -> Option<(&'n str, &'a RawValue)> {
    Scope { record: object, inner: None }.first(names)
}

/// The value at the dotted `path`, and the object that holds it if that is not the record itself.
pub(super) fn follow<'a>(
    record: &RawObject<'a>,
    path: &str,
) -> Result<(Option<RawObject<'a>>, &'a RawValue), String> {
    let mut parent: Option<RawObject<'a>> = None;
    let mut done = 0;
    loop {
        let rest = &path[done..];
        let name = rest.split('.').next().unwrap_or_default();
        let value = parent
            .as_ref()
            .unwrap_or(record)
            .get(name)
            .ok_or_else(|| format!("no field \"{}\" (from --field)", &path[..done + name.len()]))?;
        if rest.len() == name.len() {
            return Ok((parent, value));
        }
        parent = Some(object_at(&format!("\"{}\"", &path[..done + name.len()]), value)?);
        done += name.len() + 1;
    }
}

/// The field at a path that `option` names.
pub(super) fn named<'a>(scope: &Scope<'_, 'a>, path: &str, option: &str) -> Result<&'a RawValue, String> {
    let found = scope.objects().find_map(|object| follow(object, path).ok());
    found.map(|(_, value)| value).ok_or_else(|| format!("no field \"{path}\" (from {option})"))
}
