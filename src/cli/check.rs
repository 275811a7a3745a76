//! Options that contradict each other, or have no effect together.

use super::common::HasCommon;
use super::spec::Spec;
use crate::error::{Error, Result};

/// Refuses what the rules of the table forbid, then pairs of options that its lines exclude.
///
/// # Errors
/// [`Error::Usage`] with what to do instead.
pub(super) fn check<O: HasCommon>(spec: &Spec<O>, options: &mut O) -> Result<()> {
    let broken = spec.rules.iter().find(|(applies, _)| applies(options));
    let message = match broken {
        Some((_, message)) => Some((*message).to_owned()),
        None => pair(spec, &options.common().given),
    };
    message.map_or(Ok(()), |message| Err(Error::Usage(message)))
}

/// The message about two options that exclude each other, if two such options were given.
fn pair<O>(spec: &Spec<O>, given: &[&str]) -> Option<String> {
    spec.all().filter(|option| given.contains(&option.long)).find_map(|option| {
        let (other, why) = option.not_with.iter().find(|(other, _)| given.contains(other))?;
        Some(format!("--{} does not go with --{other}: {why}", option.long))
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::super::spec::testing::SPEC;
    use super::super::{cat, hash, stats, synth};
    use super::*;

    #[test]
    fn rules_come_before_pairs_and_both_say_what_is_wrong() {
        let refusal = |args: &[&str]| parse(&SPEC, args).map(drop).map_err(|error| error.to_string());
        assert_eq!(refusal(&["--format", "json", "-b", "12"]), Ok(()));
        assert_eq!(refusal(&["-b13", "--help"]), Ok(()));
        assert_eq!(
            refusal(&["--text", "--format", "json"]),
            Err("--format does not go with --text: plain text has no format".into())
        );
        assert_eq!(
            refusal(&["--text", "--format", "json", "-b13"]),
            Err("blocks of 13 tokens bring bad luck".into())
        );
    }

    fn assert_known<O>(spec: &Spec<O>) {
        for option in spec.all() {
            for (other, _) in option.not_with {
                assert!(spec.all().any(|known| known.long == *other), "{} --{other}", spec.name);
            }
        }
    }

    #[test]
    fn no_line_names_an_option_that_is_not_there() {
        assert_known(&cat::SPEC);
        assert_known(&hash::SPEC);
        assert_known(&stats::SPEC);
        assert_known(&synth::SPEC);
    }
}
