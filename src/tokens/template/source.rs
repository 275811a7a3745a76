//! The text of a template as the engine reads it.

use minijinja::{Error, ErrorKind};

/// The template with line ends that are newlines, as they are to Jinja2, with escapes in texts that the engine
/// reads as Python does, and with the tags `generation` and `endgeneration` of transformers, which only mark the
/// assistant's text, as tags that open and close a scope of variables.
pub(super) fn prepared(source: &str) -> Result<String, Error> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some(tag) = rest.match_indices('{').find_map(|(at, _)| {
        let tag = &rest[at + 1..];
        tag.starts_with(['%', '{', '#']).then_some(tag)
    }) {
        let (kind, tag) = tag.split_at(1);
        out.push_str(&rest[..rest.len() - tag.len()]);
        let name = only_word(tag).filter(|_| kind == "%");
        let plain = match (kind, name) {
            ("#", _) => tag.find("#}").unwrap_or(tag.len()),
            (_, Some("raw")) => end_of_raw(tag),
            (_, Some("generation" | "endgeneration")) => {
                let end = tag.find("%}").unwrap_or(tag.len());
                out.push_str(&tag[..end].replacen("generation", "with", 1));
                rest = &tag[end..];
                continue;
            }
            _ => {
                rest = expressions(tag, if kind == "%" { "%}" } else { "}}" }, &mut out)?;
                continue;
            }
        };
        out.push_str(&tag[..plain]);
        rest = &tag[plain..];
    }
    Ok(out + rest)
}

/// The word that is all of a tag.
fn only_word(tag: &str) -> Option<&str> {
    let signs = |c: char| matches!(c, '-' | '+') || c.is_whitespace();
    let word = tag[..tag.find("%}")?].trim_matches(signs);
    (!word.contains(char::is_whitespace)).then_some(word)
}

/// Where the tag begins that ends what is not to be read.
fn end_of_raw(tag: &str) -> usize {
    let ends = |(at, _): &(usize, &str)| only_word(&tag[at + 2..]) == Some("endraw");
    tag.match_indices("{%").find(ends).map_or(tag.len(), |(at, _)| at)
}

/// Copies what is in a tag, and returns what comes behind.
fn expressions<'t>(tag: &'t str, end: &str, out: &mut String) -> Result<&'t str, Error> {
    let mut rest = tag;
    let mut depth = 0_usize;
    while let Some(c) = rest.chars().next().filter(|_| depth > 0 || !rest.starts_with(end)) {
        match c {
            '"' | '\'' => {
                rest = literal(rest, c, out)?;
                continue;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    Ok(rest)
}

/// Copies a text in quotes, and returns what comes behind.
fn literal<'t>(text: &'t str, quote: char, out: &mut String) -> Result<&'t str, Error> {
    let mut chars = text.chars();
    out.extend(chars.next());
    while let Some(c) = chars.next() {
        out.push(c);
        if c == quote {
            break;
        }
        let Some(escape) = (c == '\\').then(|| chars.next()).flatten() else { continue };
        let code =
            |digits| chars.as_str().get(..digits).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match escape {
            'U' => {
                let c = code(8).and_then(char::from_u32).ok_or_else(|| refused("\\U with no character"))?;
                if !matches!(c, '"' | '\'' | '\\') {
                    out.pop();
                }
                out.push(c);
                chars = chars.as_str()[8..].chars();
            }
            'N' => return Err(refused("\\N, the name of a character,")),
            'u' if matches!(code(4), Some(0xd800..0xe000)) => {
                return Err(refused("\\u with half of a pair of surrogates"));
            }
            'a' | 'v' => {
                out.pop();
                out.push(if escape == 'a' { '\u{7}' } else { '\u{b}' });
            }
            // No escapes to Python.
            '/' => out.push_str("\\/"),
            _ if !escape.is_ascii() => {
                let code = u32::from(escape);
                out.push_str(&match code {
                    0..0x100 => format!("\\x{code:02x}"),
                    0x100..0x1_0000 => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                });
            }
            _ => out.push(escape),
        }
    }
    Ok(chars.as_str())
}

fn refused(what: &str) -> Error {
    Error::new(ErrorKind::SyntaxError, format!("{what} in a text is not known here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_are_changed_and_texts_in_them_have_the_escapes_of_the_engine() {
        for (source, expected) in [
            ("a\r\nb\r{%- generation -%}x{% endgeneration %}", "a\nb\n{%- with -%}x{% endwith %}"),
            (
                "{% raw %}{% generation %}{{ '\\a' }}{% endraw %}",
                "{% raw %}{% generation %}{{ '\\a' }}{% endraw %}",
            ),
            (
                "{# {% generation %} #}{{ '{% generation %}' }}",
                "{# {% generation %} #}{{ '{% generation %}' }}",
            ),
            (r#"{{ {"a": {"\U0001f600": '\\U00'}} }}"#, "{{ {\"a\": {\"\u{1f600}\": '\\\\U00'}} }}"),
            (r"{% if x == '\'\a\n\u00e9' %}", "{% if x == '\\'\u{7}\\n\\u00e9' %}"),
            (r"{{ '\/\é' }}\U", r"{{ '\\/\\xe9' }}\U"),
            ("{{ 'open", "{{ 'open"),
            ("{{ 'open\\", "{{ 'open\\"),
        ] {
            assert_eq!(prepared(source).unwrap(), expected, "{source}");
        }
        for wrong in [r"{{ '\N{DIGIT ONE}' }}", r"{{ '\ud83d' }}", r"{{ '\U0011' }}", r"{{ '\U00110000' }}"] {
            assert!(prepared(wrong).unwrap_err().to_string().contains("not known here"), "{wrong}");
        }
    }
}
