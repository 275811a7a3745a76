//! Completion scripts.
//!
//! Each script can be loaded in two ways: from the shell's completion folder, or by `eval "$(NAME --completions
//! SHELL)"` (fish: `NAME --completions fish | source`).

use std::fmt::Write as _;

use super::choice::{Choice, NamedValues};
use super::manual::{Manual, OptionText};
use super::spec::{Arg, Opt, Spec};

/// A shell that completions can be written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// GNU bash, from 3.2.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
}

impl Choice for Shell {
    const NAMES: NamedValues<Self> = &[("bash", Self::Bash), ("zsh", Self::Zsh), ("fish", Self::Fish)];
}

/// The script that completes a filter's options in `shell`.
pub(super) fn script<O>(spec: &Spec<O>, shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(spec),
        Shell::Zsh => zsh(spec),
        Shell::Fish => fish(spec),
    }
}

fn bash<O>(spec: &Spec<O>) -> String {
    let mut cases = String::new();
    let mut names = Vec::new();
    for option in spec.all() {
        let mut own = Vec::new();
        own.extend(option.short.map(|short| format!("-{short}")));
        own.push(format!("--{}", option.long));
        let action = match option.arg {
            Arg::None | Arg::Maybe(_) => None,
            Arg::File => Some("return".to_owned()),
            Arg::Value => Some("compopt +o default 2>/dev/null; return".to_owned()),
            Arg::Choice(names) => {
                Some(format!("COMPREPLY=($(compgen -W {} -- \"$cur\")); return", quote(&names().join(" "))))
            }
            Arg::List(names) => Some(format!(
                "[[ $cur == *,* ]] && head=${{cur%,*}},\n            \
                 COMPREPLY=($(compgen -P \"$head\" -W {} -- \"${{cur##*,}}\"))\n            \
                 return",
                quote(&names().join(" "))
            )),
        };
        if let Some(action) = action {
            let pattern = own.join(" | ");
            let _ = write!(cases, "        {pattern})\n            {action} ;;\n");
        }
        names.append(&mut own);
    }
    let (name, function, names) = (spec.name, function(spec.name), quote(&names.join(" ")));
    // Bash splits `--name=value` at the equals sign. If COMPREPLY stays empty, `complete -o default` makes bash
    // complete file names.
    format!(
        "\
{function}() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev= head=
    ((COMP_CWORD > 0)) && prev=${{COMP_WORDS[COMP_CWORD-1]}}
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]] && ((COMP_CWORD > 1)); then
        prev=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    COMPREPLY=()
    case $prev in
{cases}    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W {names} -- \"$cur\"))
    fi
}}
complete -o default -F {function} {name}
"
    )
}

fn zsh<O>(spec: &Spec<O>) -> String {
    let mut specs = String::new();
    let manual = Manual::of(spec);
    for option in spec.all() {
        let _ = writeln!(specs, "        {} \\", zsh_option(option, manual.option(option.long)));
    }
    let (name, function) = (spec.name, function(spec.name));
    format!(
        "\
#compdef {name}
{function}() {{
    _arguments -s -S \\
{specs}        '*:FILE:_files'
}}
if [[ ${{funcstack[1]}} == {function} || ${{funcstack[1]}} == _{name} ]]; then
    {function} \"$@\"
else
    compdef {function} {name}
fi
"
    )
}

fn zsh_option<O>(option: &Opt<O>, text: OptionText) -> String {
    let Opt { long, short, .. } = option;
    let (glued, equals) = match option.arg {
        Arg::None => ("", ""),
        Arg::Maybe(_) => ("", "=-"),
        _ => ("+", "="),
    };
    let names = match short {
        Some(short) => {
            format!("'(-{short} --{long})'{{-{short}{glued},--{long}{equals}}}")
        }
        None => format!("--{long}{equals}"),
    };
    let value = match option.arg {
        Arg::None => String::new(),
        Arg::Value => format!(":{}: ", zsh_text(text.placeholder)),
        Arg::File => format!(":{}:_files", zsh_text(text.placeholder)),
        Arg::Choice(words) => format!(":{long}:({})", words().join(" ")),
        Arg::Maybe(words) => format!("::{long}:({})", words().join(" ")),
        Arg::List(words) => {
            format!(":{}:_sequence compadd - {}", zsh_text(text.placeholder), words().join(" "))
        }
    };
    format!("{names}{}", quote(&format!("[{}]{value}", zsh_text(text.help))))
}

/// Text inside a specification of `_arguments`.
fn zsh_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '[' | ']' | ':') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn fish<O>(spec: &Spec<O>) -> String {
    let mut out = String::new();
    let manual = Manual::of(spec);
    for option in spec.all() {
        let _ = write!(out, "complete -c {}", spec.name);
        if let Some(short) = option.short {
            let _ = write!(out, " -s {short}");
        }
        let _ = write!(out, " -l {}", option.long);
        match option.arg {
            Arg::None | Arg::Maybe(_) => {}
            Arg::File => out.push_str(" -r -F"),
            Arg::Value => out.push_str(" -x"),
            Arg::Choice(words) => {
                let _ = write!(out, " -x -a {}", fish_quote(&words().join(" ")));
            }
            Arg::List(words) => {
                let list = format!("(__fish_append , {})", words().join(" "));
                let _ = write!(out, " -x -a {}", fish_quote(&list));
            }
        }
        let _ = writeln!(out, " -d {}", fish_quote(manual.option(option.long).help));
    }
    out
}

fn fish_quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Quotes for bash and zsh.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The name of a shell function; not all shells allow dashes in it.
fn function(program: &str) -> String {
    format!("_{}", program.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::super::spec::testing::SPEC;
    use super::*;

    const SHELLS: [(&str, Shell); 3] = [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)];

    /// What `program` prints for `script` on standard input; nothing where it is not installed.
    fn feed(program: &str, args: &[&str], input_text: &str) -> Option<String> {
        let mut child =
            Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        let mut input = child.stdin.take().unwrap();
        input.write_all(input_text.as_bytes()).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program} refuses {input_text}");
        Some(String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn the_shells_accept_their_scripts() {
        for (program, shell) in SHELLS {
            feed(program, &["-n"], &script(&SPEC, shell));
        }
    }

    #[test]
    fn every_option_is_in_every_script() {
        for (program, shell) in SHELLS {
            let text = script(&SPEC, shell);
            for option in SPEC.all() {
                assert!(text.contains(option.long), "{} in {program}", option.long);
            }
        }
    }

    #[test]
    fn zsh_gets_names_help_and_values() {
        let text = script(&SPEC, Shell::Zsh);
        for expected in [
            "'(-o --output)'{-o+,--output=}'[write to FILE instead of standard output]:FILE:_files' \\\n",
            "--format='[format of the output]:format:(table json)' \\\n",
            "--keep='[fields to keep]:FIELDS:_sequence compadd - id kind' \\\n",
            "'(-q --quiet)'{-q,--quiet}'[",
            "(read it with\\: man -l FILE)",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn fish_gets_names_help_and_values() {
        let text = script(&SPEC, Shell::Fish);
        for expected in [
            "complete -c trace-test -s o -l output -r -F -d 'write to FILE instead of",
            "complete -c trace-test -l format -x -a 'table json' -d 'format of the output'\n",
            "complete -c trace-test -l keep -x -a '(__fish_append , id kind)' -d",
            "complete -c trace-test -s q -l quiet -d",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    #[test]
    fn bash_completes_options_choices_and_lists() {
        for (words, expected) in [
            ("--blo", "--block-size"),
            ("--format js", "json"),
            ("--format = t", "table"),
            ("--format =", "table json"),
            ("--keep id,k", "id,kind"),
            ("--keep i", "id"),
            ("--output x", ""),
            ("--block-size 1", ""),
            ("file", ""),
        ] {
            let session = format!(
                "{}\nCOMP_WORDS=(trace-test {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
                 _trace_test; echo \"${{COMPREPLY[*]}}\"\n",
                script(&SPEC, Shell::Bash)
            );
            if let Some(found) = feed("bash", &["--norc"], &session) {
                assert_eq!(found.trim_end(), expected, "{words}");
            }
        }
    }

    #[test]
    fn fish_completes_options_choices_and_lists() {
        for (line, expected) in [
            ("--blo", "--block-size"),
            ("--format js", "json"),
            ("--format=t", "--format=table"),
            ("--keep id,k", "id,kind"),
        ] {
            let session = format!("{}\ncomplete -C 'trace-test {line}'\n", script(&SPEC, Shell::Fish));
            if let Some(found) = feed("fish", &["--no-config"], &session) {
                let first = found.split(['\t', '\n']).next();
                assert_eq!(first, Some(expected), "{line}: {found}");
            }
        }
    }
}
