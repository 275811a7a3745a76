//! A small table for the tests of this folder.

use super::{Arg, Block, Common, CommonOptions, HasCommon, Opt, Section, Spec};

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) common: Common,
    pub(super) block_size: u64,
    pub(super) keep: Vec<String>,
    pub(super) format: String,
}

impl HasCommon for Test {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

pub(super) static SPEC: Spec<Test> = Spec {
    name: "trace-test",
    about: "try the tables",
    description: &[Block::Text("Does nothing. .Sh is text here.\n\nA second paragraph.")],
    options: &[
        Opt {
            long: "block-size",
            short: Some('b'),
            arg: Arg::Value("N"),
            help: "tokens per block",
            doc: "Tokens per block. The default is 512.",
            set: |options, value| {
                options.block_size = value.positive()?;
                Ok(())
            },
        },
        Opt {
            long: "keep",
            short: None,
            arg: Arg::List("FIELDS", &["id", "kind"]),
            help: "fields to keep",
            doc: "",
            set: |options, value| {
                options.keep = value.list(|item| item.text().map(str::to_owned))?;
                Ok(())
            },
        },
        Opt {
            long: "format",
            short: None,
            arg: Arg::Choice(&["table", "json"]),
            help: "format of the output",
            doc: "",
            set: |options, value| {
                options.format = value.text()?.to_owned();
                Ok(())
            },
        },
    ],
    common: CommonOptions::<Test>::TABLE,
    sections: &[
        Section { title: "FIGURES", body: &[Block::Item("a b", "An item."), Block::Text("Text.")] },
        Section {
            title: "EXAMPLES",
            body: &[Block::Example { what: "Try it", command: "trace-test -b 16 | jq .x" }],
        },
    ],
};
