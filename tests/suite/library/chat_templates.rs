//! Each kind of difference from transformers and vLLM that templates have met, in a few lines.

use kvtrace::record::prompt::{Chat, Message};
use kvtrace::tokens::template::{ContentFormat, SeenMessages, TODAY, Template};
use serde_json::value::RawValue;

/// What the template makes of a request.
fn rendered(template: &str, request: &str) -> Result<String, String> {
    rendered_by(&Template::parse("test", template.to_owned()).map_err(|error| error.to_string())?, request)
}

fn rendered_by(template: &Template, request: &str) -> Result<String, String> {
    let fields: Vec<(String, Box<RawValue>)> = {
        let map: std::collections::BTreeMap<String, Box<RawValue>> = serde_json::from_str(request).unwrap();
        map.into_iter().collect()
    };
    let get = |name: &str| fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.get());
    let messages: Vec<Box<RawValue>> = serde_json::from_str(get("messages").unwrap_or("[]")).unwrap();
    let mut chat = Chat::default();
    chat.messages = messages.iter().map(|text| Message::new("", text.get())).collect();
    chat.tools = get("tools").map(|text| Message::new("", text));
    chat.arguments = get("chat_template_kwargs").map(str::to_owned);
    chat.fields = fields.iter().map(|(name, value)| (name.clone(), value.get().to_owned())).collect();
    let mut seen = SeenMessages::new(100_000);
    let mut render = |chat: &Chat| {
        let mut out = String::new();
        let conversation = template.conversation(chat, &mut seen)?;
        template.render(&conversation, messages.len(), TODAY, &mut out)?;
        Ok(out)
    };
    let once = render(&chat);
    // What was seen before is what it was.
    for (id, message) in (0..).zip(chat.tools.iter_mut().chain(&mut chat.messages)) {
        message.id = Some(id);
    }
    assert_eq!((render(&chat), render(&chat)), (once.clone(), once.clone()));
    once
}

/// What an expression is in a template that knows some variables.
fn evaluated(expression: &str) -> String {
    let request = r#"{"chat_template_kwargs": {"s": "a,b,c", "l": [3, 1, 2], "n": null, "i": 7,
        "d": {"a": 1, "items": 2}, "big": 10000000000000000000000000000000000000000000}}"#;
    rendered(&format!("{{{{ ({expression}) }}}}"), request).unwrap_or_else(|error| format!("error: {error}"))
}

/// An expression has this value, or is refused so; "error" stands for any refusal.
fn assert_value(expression: &str, expected: &str) {
    let found = evaluated(expression);
    let as_expected = if expected == "error" { found.starts_with("error") } else { found == expected };
    assert!(as_expected, "{expression}: {found:?}, expected {expected:?}");
}

/// Templates that print what they are given, for requests with these messages.
fn printed(template: &str, messages: &str) -> String {
    rendered(template, &format!(r#"{{"messages": {messages}}}"#)).unwrap()
}

/// The right sides are the output of Jinja2 3.1 in the environment of transformers 5.24.
#[test]
fn expressions_have_the_values_that_they_have_in_jinja2() {
    for (expression, expected) in [
        ("tools is iterable", "False"),
        ("u is iterable", "True"),
        ("s is sequence, d is sequence, u is sequence, i is sequence", "(True, True, True, False)"),
        ("true is number, big is number, true is integer, big is integer", "(True, True, False, True)"),
        ("s.rsplit(',', 1)[0]", "a,b"),
        ("s.removeprefix('a') ~ s.removesuffix('x')", ",b,ca,b,c"),
        ("s.partition(','), s.rpartition('x')", "(('a', ',', 'b,c'), ('', '', 'a,b,c'))"),
        ("s.index('b'), s.rindex(','), s.find('z')", "(2, 3, -1)"),
        ("s.index('z')", "error: chat template line 1: substring not found"),
        ("'-7'.zfill(4) ~ 'ab'.ljust(4, '.') ~ 'ab'.rjust(4) ~ 'ab'.center(5, '-')", "-007ab..  ab--ab-"),
        ("'a\\tb'.expandtabs(4)", "a   b"),
        ("'hELLO wORLD'.title() ~ 'aBC'.capitalize() ~ 'aBC'.swapcase()", "Hello WorldAbcAbc"),
        ("'  a b '.split(none, 1), ' a b  '.rsplit(none, 1)", "(['a', 'b '], [' a', 'b'])"),
        ("'a\\r\\nb\\x0bc'.splitlines(), 'a\\nb'.splitlines(true)", "(['a', 'b', 'c'], ['a\\n', 'b'])"),
        ("s.startswith(('x', 'a')), s.endswith('c', 1, 2)", "(True, False)"),
        ("l.index(2), l.count(9), l.copy(), d.copy()", "(2, 0, [3, 1, 2], {'a': 1, 'items': 2})"),
        ("'%s and %05.1f%%' % (n, 2.25)", "None and 002.2%"),
        ("'%r' % s ~ '%d' % i ~ '%(a)s' % d", "'a,b,c'71"),
        ("'x' % 1", "error: chat template line 1: not all arguments converted during string formatting"),
        ("'a b&c/d_é' | urlencode, n | urlencode, u | urlencode", "('a%20b%26c/d_%C3%A9', 'None', '')"),
        ("{'a': 'x y', 'b/c': [1]} | urlencode", "a=x+y&b%2Fc=%5B1%5D"),
        ("[('q', 1.5), ['r', true]] | urlencode", "q=1.5&r=True"),
        ("{'z': [1, {'b': 2, 'a': 3}], 'a': (1,)} | pprint", "{'a': (1,), 'z': [1, {'a': 3, 'b': 2}]}"),
        ("{2: 'b', 1.5: 'a'} | pprint, ('x' * 78) | pprint | length", "(\"{1.5: 'a', 2: 'b'}\", 80)"),
        (
            "('x' * 79) | pprint",
            "error: chat template line 1: the filter pprint is not known here for more than a line of 80 columns",
        ),
        (
            "{2: 'a', 'b': 1} | pprint",
            "error: chat template line 1: the filter pprint is not known here for keys of several types",
        ),
        ("1 < 2.0, 'a' <= 'b', [1] > [0, 5], true >= 1, 3 > big", "(True, True, True, True, False)"),
        ("i < s", "error: chat template line 1: number and string have no order"),
        (
            "1e-7 | upper, none | lower, true | capitalize, 12 | replace(1, 3)",
            "('1E-07', 'none', 'True', '32')",
        ),
        ("-7 % 3, 7.5 % -2", "(2, -0.5)"),
        ("'{:>3}|{x}'.format('a', x=none)", "  a|None"),
        ("1 ~ none ~ true ~ 1.0 ~ l ~ u", "1NoneTrue1.0[3, 1, 2]"),
        ("s[::-1], l[::2], l[-2:]", "('c,b,a', [3, 2], [1, 2])"),
        ("'a' in d, 'b' in s, 9 in l, 'x' in u", "(True, True, False, False)"),
        ("d.items() | list", "[('a', 1), ('items', 2)]"),
        ("d.items is defined, d['items'], d.get('items')", "(True, 2, 2)"),
        (
            "dict(d, b=2), dict([('k', 1)]), dict.fromkeys(['x'], 0)",
            "({'a': 1, 'items': 2, 'b': 2}, {'k': 1}, {'x': 0})",
        ),
        (
            "l.append(1)",
            "error: chat template line 1: access to attribute 'append' of a list or object is unsafe",
        ),
        ("'x' | int, '3.7' | int, 'ff' | int(base=16), n | int(5), '1e3' | float", "(0, 3, 255, 5, 1000.0)"),
        ("{'b': 1, 'A': 2} | dictsort(true)", "[('A', 2), ('b', 1)]"),
        ("'a\\nb' | indent('> ', true) ~ 'a' | indent", "> a\n> ba"),
        ("'<\"\\'>' | e", "&lt;&#34;&#39;&gt;"),
        ("'é\\x1cx' | trim ~ '\\x1c a ' | trim", "é\u{1c}xa"),
        (
            "1e-5, 1e16, -0.0, 2.0, big, 10 ** 20",
            "(1e-05, 1e+16, -0.0, 2.0, 10000000000000000000000000000000000000000000, 100000000000000000000)",
        ),
        ("[1, 'it\\'s', none, {'a': (1,)}]", "[1, \"it's\", None, {'a': (1,)}]"),
        (
            "s.split is defined, s.strip is callable, d.split is defined, i.split is defined, l.lower is defined",
            "(True, True, False, False, False)",
        ),
        ("n.x is defined, u.x", "error"),
        ("u.split is defined", "error"),
        ("strftime_now('%d %B %Y')", "26 July 2024"),
        ("raise_exception('no ' ~ i)", "error: chat template line 1: no 7"),
    ] {
        assert_value(expression, expected);
    }
}

#[test]
fn methods_iterators_letters_and_marked_texts_are_those_of_python() {
    for (expression, expected) in [
        ("i.title is defined, l.count is callable, {'update': 1}.update", "(False, True, Undefined)"),
        (
            "[range(3), range(1, 5, 2), {'a': 1}.keys(), {'a': 1}.items(), {}.values()]",
            "[range(0, 3), range(1, 5, 2), dict_keys(['a']), dict_items([('a', 1)]), dict_values([])]",
        ),
        (
            "range(5)[-1], range(5)[7] is defined, range(3) is sequence, d.keys()[0] is defined",
            "(4, False, True, False)",
        ),
        ("'{} {}'.format(range(2), l[1:]) ~ '%s' % d.keys()", "range(0, 2) [1, 2]dict_keys(['a', 'items'])"),
        (
            "[{'r': 1}, {'r': 0}] | groupby('r'), ([{'r': 1}] | groupby('r'))[0].list",
            "([(0, [{'r': 0}]), (1, [{'r': 1}])], [{'r': 1}])",
        ),
        ("(l[1:] + [4]) | tojson ~ (l[1:] is sequence) ~ (l[1:] < [2])", "[1, 2, 4]TrueTrue"),
        ("(l | select('gt', 5)) and 'true', (l | map('string'))[0] is defined", "('true', False)"),
        (
            "l | reverse",
            "error: chat template line 1: what filters like map, select and reverse give is no text before it is a list",
        ),
        ("(l | map('string')) | length", "error"),
        ("d.get", "error: chat template line 1: the text of a function or method is not known here"),
        ("namespace(a=1)", "error: chat template line 1: the text of a namespace is not known here"),
        (
            "'a b' | wordwrap(1), 'wordwrap' is filter",
            "error: chat template line 1: the filter wordwrap is not known here",
        ),
        ("'\\a\\v\\U0001f600' | tojson ~ '\\/'", "\"\\u0007\\u000b\u{1f600}\"\\/"),
        (
            "'ßa'.title(), 'ǆa'.capitalize(), 'ΑΣ ΑΣ'.title(), 'ΑΣ' | title, 'აბ'.title()",
            "('Ssa', 'ǅa', 'Ας Ας', 'Ασ', 'აბ')",
        ),
        ("'ΑΣ'.swapcase(), 'ẞﬀς'.casefold(), 'ǅ'.swapcase(), 'ǅa'.istitle()", "('ας', 'ssffσ', 'ǅ', True)"),
        (
            "'½'.isdigit(), '²'.isdigit(), '三'.isnumeric(), 'Ⅷ'.isalpha(), 'a·b'.isidentifier()",
            "(False, True, True, False, True)",
        ),
        ("'_5' | int, '5_0' | int, '5__0' | int(9), '1_0.5' | float", "(0, 50, 9, 10.5)"),
        ("'٣' | int", "error: chat template line 1: digits other than 0 to 9 in a number are not known here"),
        (
            "('<a>' | safe) + '<b>', ('%s' | safe) % '<', ['x' | safe]",
            "(Markup('<a>&lt;b&gt;'), Markup('&lt;'), [Markup('x')])",
        ),
        ("('x' | safe) ~ '<', (l + [1]), 1 + 2.5", "('x<', [3, 1, 2, 1], 3.5)"),
        ("n | default('x', boolean=true), u | default(none), u | d, i | default('x')", "('x', None, '', 7)"),
        ("strftime_now(format='%c|%x|%f|%-d%z')", "Fri Jul 26 12:00:00 2024|07/26/24|000000|26"),
        ("strftime_now('a%q')", "error: chat template line 1: \"%q\" in a format of times is not known here"),
        (
            "lipsum is defined, namespace() is mapping, namespace() is iterable, u is callable",
            "(True, False, False, True)",
        ),
    ] {
        assert_value(expression, expected);
    }
}

#[test]
fn statements_do_what_they_do_in_jinja2_and_transformers() {
    for (template, expected) in [
        (
            "{% for x in range(5) %}{% if x == 1 %}{% continue %}{% endif %}{% if x == 3 %}{% break %}{% endif %}{{ x }}{% endfor %}",
            "02",
        ),
        ("a{%- generation -%} {% set z = 1 %} b {%- endgeneration %}{{ z is defined }}", "a bFalse"),
        ("{% generation %}\n  x\n{% endgeneration %}\ny", "  x\ny"),
        (
            "{% set ns = namespace({'a': 1}, b=2) %}{% set ns.items = 3 %}{{ ns.a }}{{ ns.b }}{{ ns.items }}",
            "123",
        ),
        ("{% set j = joiner(', ') %}{% for x in [1, 2] %}{{ j() }}{{ x }}{% endfor %}", "1, 2"),
        ("{% block x %}{{ 7 % 4 }}{% endblock %}", "3"),
        (
            "{% set c = cycler(1, 2) %}{{ c.next() }}{{ c.current }}{{ c.next() }}{% set _ = c.reset() %}{{ c.next() }}",
            "1221",
        ),
        ("{% set g = [1, 2] | map('string') %}{{ g | first }}{{ g | list }}{{ g | list }}", "1['2'][]"),
        ("{% if [] | select %}a{% endif %}{% if [] | select | list %}b{% endif %}", "a"),
        (
            "{% for x in [1, 2] | reverse %}{{ x }}{{ loop.last }}{{ loop.length }}{% endfor %}",
            "2False21True2",
        ),
        ("{% set l = [1, 2] %}{% macro f() %}{{ l[1:] }}{% endmacro %}{{ f() }}", "[2]"),
        (
            "{% set ns = namespace(n=0) %}{% macro f() %}{% set ns.n = ns.n + 1 %}{% endmacro %}{{ f() }}{{ f() }}{{ ns.n }}",
            "2",
        ),
        ("{% for x in [1] %}{% macro f() %}{{ loop is defined }}{% endmacro %}{{ f() }}{% endfor %}", "True"),
        ("{% raw %}{% generation %}{% endraw %}{{ '{% generation %}' }}", "{% generation %}{% generation %}"),
        ("A\r\nB\rC\r\n", "A\nB\nC"),
        ("  {% if true %}\r\nx\r\n  {% endif %}\r\n", "x\n"),
        (
            "{% macro f(a, b='c') %}{{ a }}{{ b }}{{ caller() }}{% endmacro %}{% call f(1) %}z{% endcall %}",
            "1cz",
        ),
    ] {
        assert_eq!(rendered(template, "{}").as_deref(), Ok(expected), "{template}");
    }
    assert!(rendered("{% generation %}", "{}").is_err());
    for (template, expected) in [
        (
            "{% macro f(a, b=a) %}{{ b }}{% endmacro %}{{ f(1, 2) }}{{ f(1) }}",
            "chat template line 1: an argument as the default of another one is not known here",
        ),
        (
            "{{ '\\N{DIGIT ONE}' }}",
            "test:chat template: syntax error: \\N, the name of a character, in a text is not known here",
        ),
    ] {
        assert_eq!(rendered(template, "{}").unwrap_err(), expected);
    }
    for name in ["varargs", "kwargs"] {
        let makro =
            |body: &str| format!("{{% macro f(a) %}}{body}{{% endmacro %}}{{{{ f(1) }}}}{{{{ {name} }}}}");
        for uses in [
            format!("{{{{ {name} }}}}"),
            format!("{{{{ {name} is defined }}}}"),
            format!("{{% if {name} %}}x{{% endif %}}"),
        ] {
            let error = rendered(&makro(&uses), "{}").unwrap_err();
            let expected = format!(
                "chat template line 1: \"{name}\", the further arguments of macros, is not known here"
            );
            assert_eq!(error, expected, "{uses}");
        }
        // A variable of that name, and a branch that is not taken.
        let own = makro(&format!("{{% set {name} = 3 %}}{{{{ a }}}}{{{{ {name} }}}}"));
        assert_eq!(rendered(&own, "{}").as_deref(), Ok("13"));
        let other = makro(&format!("{{% if a == 2 %}}{{{{ {name} }}}}{{% endif %}}{{{{ a }}}}"));
        assert_eq!(rendered(&other, "{}").as_deref(), Ok("1"));
    }
    let loops = "{% for x in u %}{% endfor %}{% for x in [1, 2] if x > 1 %}{{ x }}{% endfor %}{% macro f(x) %}{% for y in x %}\
         {{ y }}{% else %}-{% endfor %}{% endmacro %}{{ f([3, 4]) }}{{ f([]) }}{{ f(true and [5]) }}\n";
    assert_eq!(rendered(loops, "{}").as_deref(), Ok("234-5"));
    let error = rendered(&(loops.to_owned() + "{% for t in tools %}{% endfor %}"), "{}").unwrap_err();
    assert_eq!(error, "chat template line 2: 'NoneType' object is not iterable");
}

#[test]
fn json_is_written_with_all_arguments_of_the_filter() {
    let request =
        r#"{"tools": [{"b": 1e-5, "a": [1.0, "é<'\u2028", null, 123456789012345678901234567890]}]}"#;
    let made = |arguments: &str| rendered(&format!("{{{{ tools | tojson{arguments} }}}}"), request).unwrap();
    let number = "123456789012345678901234567890";
    assert_eq!(made(""), format!("[{{\"b\": 1e-05, \"a\": [1.0, \"é<'\u{2028}\", null, {number}]}}]"));
    assert_eq!(
        made("(separators=(',', ':'), sort_keys=true, ensure_ascii=true)"),
        format!("[{{\"a\":[1.0,\"\\u00e9<'\\u2028\",null,{number}],\"b\":1e-05}}]")
    );
    let indented = format!(
        "[\n {{\n  \"b\": 1e-05,\n  \"a\": [\n   1.0,\n   \"é<'\u{2028}\",\n   null,\n   {number}\n  ]\n }}\n]"
    );
    assert_eq!(made("(indent=1)"), indented);
    assert_eq!(made("(false, 1)"), indented);
    assert!(rendered("{{ missing | tojson }}", "{}").is_err());
    assert!(rendered("{{ tools | tojson(indnt=1) }}", request).is_err());
}

/// A template that shows which keys a message has.
const KEYS: &str = "{% for m in messages %}{{ m | tojson }}\n{% endfor %}";

#[test]
fn null_and_unknown_keys_are_not_handed_over_and_content_is_always_there() {
    let messages = r#"[{"role": "user", "content": "q", "name": "bob", "mood": 1},
        {"role": "assistant", "content": null, "refusal": null, "audio": {}, "tool_calls": [], "name": null},
        {"role": "assistant", "tool_calls": null},
        {"role": "tool", "content": "r", "tool_call_id": "c1", "name": 3}]"#;
    assert_eq!(
        printed(KEYS, messages),
        r#"{"role": "user", "content": "q", "name": "bob"}
{"role": "assistant", "content": ""}
{"role": "assistant", "content": ""}
{"role": "tool", "content": "r", "tool_call_id": "c1"}
"#
    );
}

#[test]
fn arguments_of_tool_calls_become_objects() {
    let template =
        "{% for m in messages %}{% for t in m.tool_calls %}{{ t | tojson }}\n{% endfor %}{% endfor %}";
    let call = |arguments: &str| {
        let function = format!(
            r#"{{"type": "function", "function": {{"arguments": {arguments}, "name": "f"}}, "id": "1"}}"#
        );
        printed(template, &format!(r#"[{{"role": "assistant", "tool_calls": [{function}]}}]"#))
    };
    for (arguments, expected) in [
        (r#""{\"city\":\"Oslo\", \"n\": 1e-7}""#, r#"{"city": "Oslo", "n": 1e-07}"#),
        (r#"{"x": [1]}"#, r#"{"x": [1]}"#),
        (r#""""#, "{}"),
        ("null", "{}"),
        (r#""[1]""#, "{}"),
        (r#""{broken""#, "{}"),
        ("[1]", "{}"),
    ] {
        let whole = format!(
            r#"{{"type": "function", "function": {{"arguments": {expected}, "name": "f"}}, "id": "1"}}"#
        );
        assert_eq!(call(arguments), whole + "\n", "{arguments}");
    }
    let bare = r#"{"messages": [{"role": "assistant", "tool_calls": [{"name": "f"}]}]}"#;
    assert!(rendered(template, bare).unwrap_err().contains("no object \"function\""));
}

#[test]
fn reasoning_of_the_assistant_has_three_names() {
    let template =
        "{% for m in messages %}{{ m.reasoning }}|{{ m.reasoning_content }}|{{ m.thinking }};{% endfor %}";
    for name in ["reasoning", "reasoning_content", "thinking"] {
        let messages = format!(
            r#"[{{"role": "user", "content": "q", "{name}": "no"}}, {{"role": "assistant", "{name}": "why"}}]"#
        );
        assert_eq!(printed(template, &messages), "||;why|why|why;");
    }
}

#[test]
fn content_is_a_list_for_templates_that_walk_over_parts() {
    let parts = r#"[{"role": "user", "content": [{"type": "text", "text": "a ", "cache_control": {}}, {"type": "text", "text": ""},
        {"type": "input_text", "text": "b"}]}, {"role": "tool", "content": [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}]},
        {"role": "user", "content": "e"}]"#;
    let walks = |body: &str| format!("{{% for m in messages %}}{body}{{% endfor %}}");
    let list = "[{'type': 'text', 'text': 'a ', 'cache_control': {}}, {'type': 'text', 'text': ''}, {'type': 'text', 'text': 'b'}]";
    let as_parts = format!("{list}c\nd[{{'type': 'text', 'text': 'e'}}]");
    let as_strings = "a \nbc\nde";
    let over = |list: &str| format!("{{% for p in {list} %}}{{% endfor %}}");
    for (template, wants_parts) in [
        (walks("{{ m.content }}"), false),
        (walks(&format!("{{{{ m.content }}}}{}", over("m.content"))), true),
        (walks(&format!("{{{{ m.content }}}}{}", over("m['content'] | reverse"))), true),
        (walks(&format!("{{{{ m.content }}}}{}", over("m.tool_calls"))), false),
        (
            format!(
                "{{% set rest = messages[1:] %}}{{% for x in rest %}}{}{{% endfor %}}",
                over("x.content")
            ) + &walks("{{ m.content }}"),
            true,
        ),
        (
            format!(
                "{{% set ns = namespace(rest=messages) %}}{{% for x in ns.rest %}}{}{{% endfor %}}",
                over("x.content")
            ) + &walks("{{ m.content }}"),
            true,
        ),
        (
            format!("{{% macro show(c) %}}{}{{{{ c }}}}{{% endmacro %}}", over("c"))
                + &walks("{{ show(m.content) }}"),
            true,
        ),
        (
            format!("{{% macro show(c) %}}{}{{{{ c }}}}{{% endmacro %}}", over("c"))
                + &walks("{{ show(c=m.content) }}"),
            true,
        ),
        (
            format!("{{% macro show(c) %}}{{{{ c }}}}{}{{% endmacro %}}", over("content"))
                + &walks("{{ show(m.content) }}"),
            false,
        ),
        (walks(&format!("{{% set content = m.content %}}{{{{ content }}}}{}", over("content"))), true),
    ] {
        let expected = if wants_parts { as_parts.as_str() } else { as_strings };
        assert_eq!(printed(&template, parts), expected, "{template}");
    }
    for (format, expected) in [(ContentFormat::Parts, &*as_parts), (ContentFormat::String, as_strings)] {
        let template = Template::parse("test", walks("{{ m.content }}")).unwrap().with_content_format(format);
        assert_eq!(rendered_by(&template, &format!(r#"{{"messages": {parts}}}"#)).unwrap(), expected);
    }
    let unknown = r#"{"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}"#;
    assert!(rendered("", unknown).unwrap_err().contains("hologram"));
}

#[test]
fn developers_are_systems_to_templates_that_do_not_know_them() {
    let template = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}";
    let developer = |rest: &str| format!(r#"[{{"role": "developer", "content": "d"}}{rest}]"#);
    assert_eq!(printed(template, &developer("")), "system:d;");
    let more = r#", {"role": "user", "content": "u"}, {"role": "system", "content": [{"type": "text", "text": "s"}]}"#;
    assert_eq!(printed(template, &developer(more)), "system:d\n\ns;user:u;");
    let knows = "{% set _ = 'developer' %}{% for m in messages %}{{ m.role }};{% endfor %}";
    assert_eq!(printed(knows, &developer(more)), "developer;user;system;");
    let two = r#"[{"role": "user", "content": "u"}, {"role": "system", "content": "s"}]"#;
    assert_eq!(printed(template, two), "user:u;system:s;");
}

#[test]
fn the_billing_header_of_claude_code_is_cut_off() {
    let template = "{% for m in messages %}[{{ m.content }}]{% endfor %}";
    let header = "x-anthropic-billing-header: cc_version=1; cch=0a1b;";
    let messages = format!(
        r#"[{{"role": "system", "content": "{header}\nBe brief."}}, {{"role": "system", "content": [{{"type": "text", "text": "{header}"}},
        {{"type": "text", "text": "x"}}]}}, {{"role": "user", "content": "{header}\nu"}}]"#
    );
    assert_eq!(printed(template, &messages), format!("[Be brief.][x][{header}\nu]"));
}

#[test]
fn a_request_sets_variables_of_the_template() {
    let template =
        "{{ add_generation_prompt }} {{ documents }} {{ reasoning_effort }} {{ enable_thinking }} {{ x }}";
    let made = |fields: &str| rendered(template, &format!("{{{fields}}}")).unwrap();
    assert_eq!(made(""), "True None   ");
    assert_eq!(
        made(
            r#""add_generation_prompt": false, "documents": [{"title": "t"}], "reasoning_effort": "low", "chat_template_kwargs": {"x": 1, "add_generation_prompt": true, "messages": 1}"#
        ),
        "False [{'title': 't'}] low True 1"
    );
    assert_eq!(
        made(r#""reasoning_effort": "none", "chat_template_kwargs": {"reasoning_effort": "high"}"#),
        "True None none False "
    );
    assert_eq!(
        made(r#""reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": false}"#),
        "True None low False "
    );
    assert!(rendered("", r#"{"chat_template_kwargs": [1]}"#).is_err());
}

#[test]
fn tools_may_be_a_text() {
    let template = "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}{{ tools is none }}";
    for tools in [r#"[{"a": 1.0}]"#, r#""[{\"a\": 1.0}]""#] {
        assert_eq!(rendered(template, &format!(r#"{{"tools": {tools}}}"#)).unwrap(), "{\"a\": 1.0}False");
    }
    for tools in ["[]", "null", r#""[]""#] {
        assert_eq!(rendered(template, &format!(r#"{{"tools": {tools}}}"#)).unwrap(), "True");
    }
    for tools in [r#""none""#, "{}", "3"] {
        assert!(rendered(template, &format!(r#"{{"tools": {tools}}}"#)).is_err());
    }
}

#[test]
fn the_last_message_may_be_continued() {
    let template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if not loop.last %}</s>{% endif %}{% endfor %}\
         {% if add_generation_prompt %}<assistant>{% endif %}";
    let request = |content: &str, prompt: bool| {
        format!(
            r#"{{"messages": [{{"role": "user", "content": "hi"}}, {{"role": "assistant", "content": {content}}}],
            "continue_final_message": true, "add_generation_prompt": {prompt}}}"#
        )
    };
    assert_eq!(rendered(template, &request("\"Sure, \"", false)).unwrap(), "<user>hi</s><assistant>Sure, ");
    let trims = "{% for m in messages %}{{ m.content | trim }}</s>{% endfor %}";
    assert_eq!(rendered(trims, &request("\"Sure, \"", false)).unwrap(), "hi</s>Sure,");
    let parts = r#"[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]"#;
    let walks = "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}</s>{% endfor %}";
    assert_eq!(rendered(walks, &request(parts, false)).unwrap(), "hi</s>ab");
    assert!(rendered(template, &request("\"Sure\"", true)).unwrap_err().contains("add_generation_prompt"));
    assert!(
        rendered("{{ messages[0].content }}", &request("\"Sure\"", false))
            .unwrap_err()
            .contains("leaves out")
    );
}

#[test]
fn a_template_may_be_chosen_by_the_tools() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let shown =
        |request: &str| rendered_by(&Template::in_folder(folder.path()).unwrap().unwrap(), request).unwrap();
    let (plain, tools) = (r#"{"messages": []}"#, r#"{"messages": [], "tools": [{}]}"#);
    assert!(Template::in_folder(folder.path()).unwrap().is_none());
    write(
        "tokenizer_config.json",
        r#"{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": null, "extra_special_tokens": {"image_token": "<img>"},
            "chat_template": [{"name": "default", "template": "D{{ bos_token }}"}, {"name": "tool_use", "template": "T{{ image_token }}"}]}"#,
    );
    assert_eq!((shown(plain), shown(tools)), ("D<s>".to_owned(), "T<img>".to_owned()));
    write("chat_template.json", r#"{"chat_template": "P{{ eos_token }}{{ pad_token }}"}"#);
    assert_eq!(shown(tools), "P</s>");
    write("chat_template.jinja", "J{{ bos_token }}");
    assert_eq!(shown(tools), "J<s>");
    std::fs::create_dir(folder.path().join("additional_chat_templates")).unwrap();
    write("additional_chat_templates/tool_use.jinja", "A");
    assert_eq!((shown(plain), shown(tools)), ("J<s>".to_owned(), "A".to_owned()));

    // A template of one's own keeps the special tokens of the model.
    let other = tempfile::tempdir().unwrap();
    let file = other.path().join("own.jinja");
    std::fs::write(&file, "O{{ bos_token }}").unwrap();
    assert_eq!(rendered_by(&Template::load(&file, Some(folder.path())).unwrap(), plain).unwrap(), "O<s>");
    assert_eq!(rendered_by(&Template::load(&file, None).unwrap(), plain).unwrap(), "O");
    std::fs::write(other.path().join("tokenizer_config.json"), r#"{"bos_token": "<b>"}"#).unwrap();
    assert_eq!(rendered_by(&Template::load(&file, None).unwrap(), plain).unwrap(), "O<b>");
    std::fs::write(other.path().join("x.json"), r#"{"chat_template": {"rag": "R"}}"#).unwrap();
    let template = Template::load(&other.path().join("x.json"), None).unwrap();
    assert!(rendered_by(&template, plain).unwrap_err().contains("only \"rag\""));
}
