//! Completion scripts for shells.

use std::fmt::Write;

use super::spec::{Arg, Opt, Spec};

/// A shell that completions are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// Z shell.
    Zsh,
    /// Fish.
    Fish,
}

/// The script that completes a filter's options and their values.
pub(super) fn script<O>(spec: &Spec<O>, shell: Shell) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    match shell {
        Shell::Bash => bash(spec, &mut out),
        Shell::Zsh => zsh(spec, &mut out),
        Shell::Fish => fish(spec, &mut out),
    }
    .ok();
    out
}

fn choices(arg: Arg) -> &'static [&'static str] {
    match arg {
        Arg::Choice(choices) | Arg::List(_, choices) => choices,
        Arg::None | Arg::Value(_) | Arg::File(_) => &[],
    }
}

fn names<O>(option: &Opt<O>) -> Vec<String> {
    let short = option.short.map(|short| format!("-{short}"));
    short.into_iter().chain([format!("--{}", option.long)]).collect()
}

fn bash<O>(spec: &Spec<O>, out: &mut String) -> std::fmt::Result {
    let name = spec.name;
    let function = format!("_{}", name.replace('-', "_"));
    writeln!(out, "{function}() {{")?;
    writeln!(out, "    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}")?;
    writeln!(out, "    case $before in")?;
    for option in spec.all().filter(|option| option.arg != Arg::None) {
        let words = choices(option.arg).join(" ");
        let reply = match option.arg {
            Arg::File(_) => "COMPREPLY=($(compgen -f -- \"$word\"))".to_owned(),
            _ => format!("COMPREPLY=($(compgen -W '{words}' -- \"$word\"))"),
        };
        writeln!(out, "        {}) {reply}; return ;;", names(option).join("|"))?;
    }
    writeln!(out, "    esac")?;
    let all: Vec<String> = spec.all().flat_map(names).collect();
    writeln!(out, "    case $word in")?;
    writeln!(out, "        -*) COMPREPLY=($(compgen -W '{}' -- \"$word\")) ;;", all.join(" "))?;
    writeln!(out, "        *) COMPREPLY=($(compgen -f -- \"$word\")) ;;")?;
    writeln!(out, "    esac\n}}")?;
    writeln!(out, "complete -o filenames -F {function} {name}")
}

fn zsh<O>(spec: &Spec<O>, out: &mut String) -> std::fmt::Result {
    writeln!(out, "#compdef {}\n_arguments -s -S \\", spec.name)?;
    for option in spec.all() {
        let help = option.help.replace('[', "\\[").replace(']', "\\]").replace('\'', "'\\''");
        let value = match option.arg {
            Arg::None => String::new(),
            Arg::Value(name) => format!(":{name}:"),
            Arg::File(name) => format!(":{name}:_files"),
            Arg::Choice(choices) => format!(":choice:({})", choices.join(" ")),
            Arg::List(name, choices) => format!(":{name}:({})", choices.join(" ")),
        };
        let equals = if value.is_empty() { "" } else { "=" };
        if let Some(short) = option.short {
            writeln!(out, "    '-{short}[{help}]{value}' \\")?;
        }
        writeln!(out, "    '--{}{equals}[{help}]{value}' \\", option.long)?;
    }
    writeln!(out, "    '*:FILE:_files'")
}

fn fish<O>(spec: &Spec<O>, out: &mut String) -> std::fmt::Result {
    for option in spec.all() {
        write!(out, "complete -c {} -l {}", spec.name, option.long)?;
        if let Some(short) = option.short {
            write!(out, " -s {short}")?;
        }
        match option.arg {
            Arg::None => {}
            Arg::File(_) => write!(out, " -r -F")?,
            Arg::Value(_) => write!(out, " -x")?,
            Arg::Choice(_) | Arg::List(..) => write!(out, " -x -a '{}'", choices(option.arg).join(" "))?,
        }
        writeln!(out, " -d '{}'", option.help.replace('\\', "\\\\").replace('\'', "\\'"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::SPEC;
    use super::*;

    #[test]
    fn every_script_has_every_option_and_every_choice() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(&SPEC, shell);
            for option in SPEC.all() {
                assert!(script.contains(option.long), "{shell:?} {}", option.long);
                for choice in choices(option.arg) {
                    assert!(script.contains(choice), "{shell:?} {choice}");
                }
            }
        }
    }
}
