//! What Python walks over and is no list: views of objects, ranges, and the generators that filters give.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Enumerator, Object, ObjectExt, ObjectRepr, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// The filters whose results are generators in Jinja2, and what turns the engine's lists into them.
pub(super) const GENERATORS: [&str; 10] =
    ["batch", "items", "map", "reject", "rejectattr", "reverse", "select", "selectattr", "slice", "unique"];
pub(super) const TO_GENERATOR: &str = "generator";
pub(super) const TO_GROUPS: &str = "groups";

/// Most numbers in a `range()`; Jinja's sandbox has the same limit.
const MOST_NUMBERS: i64 = 100_000;

/// What can be walked over once. It is true even if nothing is left of it, and has no length.
#[derive(Debug)]
struct Generator {
    items: Vec<Value>,
    next: AtomicUsize,
}

/// The items that are left of a generator.
struct Rest(Arc<Generator>);

impl Iterator for Rest {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        self.0.items.get(self.0.next.fetch_add(1, Ordering::Relaxed)).cloned()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.0.items.len().saturating_sub(self.0.next.load(Ordering::Relaxed));
        (left, Some(left))
    }
}

impl Object for Generator {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Iter(Box::new(Rest(self.clone())))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        None
    }

    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::UNDEFINED)
    }
}

/// The generator of what a filter gave as a list. The reverse of a text is a text.
pub(super) fn generator(given: Value) -> Result<Value, Error> {
    if !matches!(given.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Ok(given);
    }
    Ok(Value::from_object(Generator { items: given.try_iter()?.collect(), next: AtomicUsize::new(0) }))
}

/// The groups of `groupby` as pairs of what is equal and of a list.
pub(super) fn groups(given: &Value) -> Result<Value, Error> {
    given
        .try_iter()?
        .map(|group| Ok(Value::from_object(Group(group.try_iter()?.map(|part| listed(&part)).collect()))))
        .collect()
}

/// The value, a list that is an iterable to the engine as one that is none.
pub(super) fn listed(value: &Value) -> Value {
    let is_list = value.kind() == ValueKind::Iterable && is_list(value);
    if is_list { value.try_iter().into_iter().flatten().collect() } else { value.clone() }
}

/// One of the groups.
#[derive(Debug)]
pub(super) struct Group(Vec<Value>);

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let place = match key.as_str() {
            Some("grouper") => 0,
            Some("list") => 1,
            _ => key.as_usize()?,
        };
        self.0.get(place).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }
}

/// `dict.keys()` and its like.
#[derive(Debug)]
struct View {
    name: &'static str,
    items: Vec<Value>,
}

impl Object for View {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_rev_enumerator(|view| Box::new(view.items.iter().cloned()))
    }

    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::UNDEFINED)
    }
}

/// What a view has of a field.
type Pick = fn((Value, Value)) -> Value;

/// The view of an object that a method without arguments gives.
pub(super) fn view(fields: impl Iterator<Item = (Value, Value)>, method: &str) -> Option<Value> {
    let (name, pick): (_, Pick) = match method {
        "keys" => ("dict_keys", |(key, _)| key),
        "values" => ("dict_values", |(_, value)| value),
        "items" => ("dict_items", |(key, value)| Value::from(Tuple::new(vec![key, value]))),
        _ => return None,
    };
    Some(Value::from_object(View { name, items: fields.map(pick).collect() }))
}

/// `range()`.
#[derive(Debug)]
struct Range {
    start: i64,
    end: i64,
    step: i64,
    length: i64,
}

impl Object for Range {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let place = i64::try_from(key.clone()).ok().filter(|_| key.is_integer())?;
        let place = if place < 0 { place + self.length } else { place };
        (0..self.length).contains(&place).then(|| Value::from(self.start + place * self.step))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let (start, step) = (self.start, self.step);
        Enumerator::RevIter(Box::new(
            (0..self.length as usize).map(move |at| Value::from(start + at as i64 * step)),
        ))
    }
}

/// `range(end)`, `range(start, end)` or `range(start, end, step)`.
pub(super) fn range(first: i64, second: Option<i64>, step: Option<i64>) -> Result<Value, Error> {
    let (start, end) = second.map_or((0, first), |second| (first, second));
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(refused("range() arg 3 must not be zero".to_owned()));
    }
    let span = if step > 0 { end.saturating_sub(start) } else { start.saturating_sub(end) };
    let length = (span.max(0) as u64).div_ceil(step.unsigned_abs()) as i64;
    if length > MOST_NUMBERS {
        return Err(refused(format!("a range of more than {MOST_NUMBERS} numbers")));
    }
    Ok(Value::from_object(Range { start, end, step, length }))
}

fn refused(text: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}

/// Whether a value is what `range()` gives.
pub(super) fn is_range(value: &Value) -> bool {
    value.downcast_object_ref::<Range>().is_some()
}

/// Whether a value is a list or a tuple, which may be an iterable to the engine.
pub(super) fn is_list(value: &Value) -> bool {
    let other = || is_range(value) || is_generator(value) || value.downcast_object_ref::<View>().is_some();
    value.kind() == ValueKind::Seq || value.kind() == ValueKind::Iterable && !other()
}

/// What Python writes of what is walked over: of a range its ends, of a view its name and its items, and of a
/// generator, for which it is nothing, where it is in memory.
pub(super) fn written(value: &Value) -> Option<(String, Option<Value>)> {
    if let Some(Range { start, end, step, .. }) = value.downcast_object_ref::<Range>() {
        let step = if *step == 1 { String::new() } else { format!(", {step}") };
        return Some((format!("range({start}, {end}{step})"), None));
    }
    let view = value.downcast_object_ref::<View>()?;
    Some((view.name.to_owned(), Some(Value::from(view.items.clone()))))
}

fn is_generator(value: &Value) -> bool {
    value.downcast_object_ref::<Generator>().is_some()
}
