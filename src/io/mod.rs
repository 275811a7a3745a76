//! Bytes in and bytes out.
//!
//! [`Input`] turns files and pipes, compressed or not, into lines with a known place; [`Output`]
//! writes records to standard output or atomically to a file. Both end at the end of a record when a
//! signal arrives.

mod ahead;
mod compress;
mod document;
mod input;
mod lines;
mod lock;
mod observer;
mod output;
mod pace;
pub(crate) mod signals;
mod source;
pub(crate) mod standard;
mod temporary;
mod workers;

pub(crate) use ahead::{NewPreview, Preview};
pub use compress::Compression;
pub(crate) use input::files_at_once;
pub use input::{Input, InputOptions, Status};
pub(crate) use lock::Lock;
pub use observer::Observer;
pub use output::Output;
pub(crate) use pace::Pacer;
pub(crate) use source::{lift, read_whole};
pub(crate) use workers::Workers;
