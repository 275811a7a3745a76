//! A small table for the tests of this folder.

use super::choice::Choice;
use super::common::{Common, CommonOptions, HasCommon};
use super::spec::{Opt, Spec, opt};
use super::value::Value;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) common: Common,
    pub(super) block_size: u64,
    pub(super) keep: Vec<Kept>,
    pub(super) format: Format,
    pub(super) draw: Option<Format>,
    pub(super) text: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Id,
    Kind,
}

impl Choice for Kept {
    const NAMES: &'static [(&'static str, Self)] = &[("id", Self::Id), ("kind", Self::Kind)];
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    #[default]
    Table,
    Json,
}

impl Choice for Format {
    const NAMES: &'static [(&'static str, Self)] = &[("table", Self::Table), ("json", Self::Json)];
}

impl HasCommon for Test {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

const OPTIONS: &[Opt<Test>] = &[
    opt("block-size").short('b').value(|o, v| v.positive().map(|n| o.block_size = n)),
    opt("keep").list::<_, Kept>(|o, v| v.add_to(&mut o.keep, Value::pick)),
    opt("format")
        .not_with(&[("text", "plain text has no format")])
        .choice::<_, Format>(|o, v| v.pick().map(|f| o.format = f)),
    opt("draw").maybe::<_, Format>(|o, v| v.pick_or_first().map(|f| o.draw = Some(f))),
    opt("text").flag(|o| o.text = true),
];

pub(super) static SPEC: Spec<Test> = Spec {
    name: "trace-test",
    text: "# NAME
try the tables

# DESCRIPTION
Does nothing. .Sh is text here.

A second paragraph.

# OPTIONS

## --block-size N
tokens per block

Tokens per block. The
default is 512.

## --keep FIELDS
fields to keep

## --format
format of the output

## --draw
a chart below it

## --text
plain text

# FIGURES
## a b
An item.

##
Text.

# EXAMPLES
## Try it
    trace-test -b 16 |
      jq .x
",
    options: OPTIONS,
    common: CommonOptions::<Test>::TABLE,
    rules: &[(|o| o.block_size == 13, "blocks of 13 tokens bring bad luck")],
};
