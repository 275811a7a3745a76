//! Objects one inside the other, and the fields that they have.

use super::path::{pointer_to, value_at};
use crate::record::json::RawObject;
use crate::record::raw::{Found, Json};

/// The object in which a prompt is looked for, and those around it.
pub(super) struct Scope<'a> {
    pub(super) object: &'a RawObject<'a>,
    pub(super) outer: Option<&'a Scope<'a>>,
    /// Where the object stands in the record, as a JSON Pointer.
    pub(super) pointer: String,
}

impl<'a> Scope<'a> {
    /// The first thing that `find` finds, from the outside in: what a logger adds to a request comes
    /// before what the request says.
    pub(super) fn find<T>(&self, find: &mut dyn FnMut(&'a RawObject<'a>) -> Option<T>) -> Option<T> {
        if let Some(found) = self.outer.and_then(|outer| outer.find(find)) {
            return Some(found);
        }
        find(self.object)
    }

    /// The first of `names` that is present, and its value.
    pub(super) fn first<'n>(&self, names: &[&'n str]) -> Option<(&'n str, Json<'a>)> {
        self.find(&mut |object| object.first(names))
    }

    /// The value at the first of `paths` that leads somewhere.
    pub(super) fn at<'n>(&self, paths: &[&'n str]) -> Option<(&'n str, Found<'a>)> {
        self.find(&mut |object| paths.iter().find_map(|&path| Some((path, value_at(object, path)?))))
    }

    /// Where the value is that [`Scope::at`] finds, as a JSON Pointer.
    pub(super) fn pointer_at(&self, paths: &[&str]) -> Option<String> {
        let outer = self.outer.and_then(|outer| outer.pointer_at(paths));
        let inner = || paths.iter().find_map(|path| pointer_to(self.object, path));
        outer.or_else(|| inner().map(|rest| self.pointer.clone() + &rest))
    }

    /// The value at the path in the field `setting` of the options.
    pub(super) fn named(&self, path: &str, setting: &str) -> Result<Found<'a>, String> {
        self.find(&mut |object| value_at(object, path))
            .ok_or_else(|| format!("no field \"{path}\" (from `{setting}`)"))
    }
}
