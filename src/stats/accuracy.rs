//! What figures are worth.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// What a figure is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Accuracy {
    /// It is exact.
    #[default]
    Exact,
    /// It is a lower bound.
    AtLeast,
    /// It is an upper bound.
    AtMost,
    /// It is neither exact nor a bound.
    Neither,
    /// It is an estimate.
    Estimate {
        /// Its standard error, where that is known.
        standard_error: Option<f64>,
    },
}

impl Accuracy {
    /// An estimate with this standard error.
    pub(super) fn within(standard_error: f64) -> Self {
        Self::Estimate { standard_error: Some(standard_error) }
    }

    /// That of a figure that falls as this one rises.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::AtLeast => Self::AtMost,
            Self::AtMost => Self::AtLeast,
            other => other,
        }
    }

    /// That of a figure that depends on this one, but neither rises nor falls with it.
    #[must_use]
    pub fn loosely(self) -> Self {
        if self == Self::Exact { self } else { Self::Neither }
    }

    /// What a sum of two figures is worth.
    #[must_use]
    pub(super) fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Exact, other) => other,
            (this, Self::Exact) => this,
            (this, other) if this == other && this.standard_error().is_none() => this,
            _ => Self::Neither,
        }
    }

    /// The word for it in JSON and beside figures that cannot say it themselves, if it is no exact value and no
    /// estimate.
    pub fn bound(self) -> Option<&'static str> {
        match self {
            Self::AtLeast => Some("at_least"),
            Self::AtMost => Some("at_most"),
            Self::Neither => Some("neither"),
            Self::Exact | Self::Estimate { .. } => None,
        }
    }

    /// The standard error of an estimate, where it is known.
    pub fn standard_error(self) -> Option<f64> {
        match self {
            Self::Estimate { standard_error } => standard_error,
            _ => None,
        }
    }
}

/// As part of an object: `standard_error` or `bound`, nothing if the figure is exact.
impl Serialize for Accuracy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(error) = self.standard_error() {
            map.serialize_entry("standard_error", &error)?;
        }
        if let Some(bound) = self.bound() {
            map.serialize_entry("bound", bound)?;
        }
        map.end()
    }
}

/// A figure, and what it is worth. It is written as its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct Figure<T> {
    /// The figure.
    pub value: T,
    /// What it is worth.
    #[serde(skip)]
    pub accuracy: Accuracy,
}

impl<T> Figure<T> {
    /// A figure of that accuracy.
    pub(super) fn new(value: T, accuracy: Accuracy) -> Self {
        Self { value, accuracy }
    }
}
