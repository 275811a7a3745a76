//! Where the times of a clock begin, as far as that can be known before the first record is written.
//!
//! Logs are often written when requests end, so the first record is not the earliest. Such disorder is local:
//! looking some records ahead finds the earliest without reading everything twice.

use std::path::PathBuf;

use crate::cat::entry::SourceRecord;
use crate::cat::ids::{ReadOptions, is_regular};
use crate::cat::times::TimeChange;
use crate::error::Result;
use crate::io::{Input, InputOptions};
use crate::record::time::{Millis, PRESENT};

/// How many records of each file are looked at.
const AHEAD: usize = 4096;

/// The earliest of the first records that have the times of a clock, in the files that can be read twice.
///
/// # Errors
/// When a file cannot be opened or read.
pub(super) fn earliest(files: &[PathBuf], read: &ReadOptions, change: &TimeChange) -> Result<Option<Millis>> {
    let (mut earliest, mut of_others) = (None, None);
    // With a shift, the first file alone says where the trace begins.
    let files = if change.shift { files.get(..1).unwrap_or_default() } else { files };
    for file in files.iter().filter(|file| is_regular(file)) {
        let input = Input::new([file], InputOptions { skip_invalid: true, ..read.input.clone() })?;
        let mut reader = read.reader(input);
        for _ in 0..AHEAD {
            let Some(record) = reader.step(|_| Ok(()))? else { break };
            let entry = SourceRecord::of(&reader, 0);
            // What is wrong with a record is said when its turn comes.
            let time = record.and_then(|()| change.recorded(&entry)).ok().flatten();
            let first = if change.starts_at_zero(&entry) {
                &mut earliest
            } else if time.is_none_or(|time| PRESENT.contains(&time.as_f64())) {
                &mut of_others
            } else {
                break;
            };
            *first = [*first, time].into_iter().flatten().min();
        }
    }
    // Other times since 1970 count from that of a clock too, so that they meet.
    Ok(earliest.map(|earliest: Millis| of_others.map_or(earliest, |other| earliest.min(other))))
}
