//! Filters are read, printed and read again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

use proptest::prelude::*;
use tacho_recorder::filter::{Filter, Key, Pattern, Span, Term};
use tacho_schemas::{Seq, Time};

const NOW: &str = "2026-11-24T12:00:00Z";

fn parse(text: &str) -> Result<Filter, tacho_recorder::filter::FilterError> {
    Filter::parse(text, Time::parse(NOW).unwrap())
}

#[test]
fn each_text_has_one_canonical_form() {
    for (text, canonical) in [
        ("", ""),
        ("  ", ""),
        ("kind:mutation", "kind:mutation"),
        ("KIND:Mutation", "kind:mutation"),
        ("kind:action,outcome", "kind:action,outcome"),
        ("verdict:hold|deny", "verdict:hold,deny"),
        ("verdict:hold | deny", "verdict:hold | deny"),
        ("kind:action|kind:outcome", "kind:action | kind:outcome"),
        ("kind:action|-via:api", "kind:action | -via:api"),
        ("kind:action|under(3)", "kind:action | under(3)"),
        ("a b | c", "a b | c"),
        ("a (b | c)", "a (b | c)"),
        ("(a b) | ((c))", "a b | c"),
        ("a (b c)", "a b c"),
        ("a|(b|c)", "a | b | c"),
        ("-a", "-a"),
        ("!a", "-a"),
        ("--a", "a"),
        ("-(a b)", "-(a b)"),
        ("-(a | -b)", "-(a | -b)"),
        ("claude-code", "claude-code"),
        ("\"two words\"", "\"two words\""),
        ("\"one\"", "one"),
        ("\"-x\"", "\"-x\""),
        (r#""say \"hi\" \\ \d""#, r#""say \"hi\" \\ \\d""#),
        ("dep*", "dep*"),
        ("\"two wor\"*", "\"two wor\"*"),
        ("12:30", "\"12:30\""),
        ("agent:claude*", "agent:claude*"),
        ("agent:*", "agent:*"),
        ("agent:a**b", "agent:a*b"),
        ("agent:\"a*\"", "agent:\"a*\""),
        ("tool:Bash,Edit", "tool:Bash,Edit"),
        ("path:src/*.rs", "path:src/*.rs"),
        ("path:\"my files/\"*.rs", "path:\"my files/\"*.rs"),
        ("path:\"a(b)\"", "path:\"a(b)\""),
        ("path:c:/x", "path:c:/x"),
        ("session:007", "session:7"),
        ("seq:5", "seq:5"),
        ("seq:5,10..20", "seq:5,10..20"),
        ("seq:100..", "seq:100.."),
        ("seq:..9", "seq:0..9"),
        ("under(17) over( 4 )", "under(17) over(4)"),
        ("under 17", "under 17"),
        ("since:2026-11-24", "since:2026-11-24T00:00:00Z"),
        ("until:2026-11-24", "until:2026-11-24T23:59:59.999999999Z"),
        ("since:2026-11-24T06:00", "since:2026-11-24T06:00:00Z"),
        (
            "since:2026-11-24T06:00:00+02:00",
            "since:2026-11-24T04:00:00Z",
        ),
        ("since:2h", "since:2026-11-24T10:00:00Z"),
        ("until:90m", "until:2026-11-24T10:30:00Z"),
        (
            "since:1w until:3d",
            "since:2026-11-17T12:00:00Z until:2026-11-21T12:00:00Z",
        ),
        ("since:2h|x", "since:2026-11-24T10:00:00Z | x"),
        ("日本 ünï", "日本 ünï"),
    ] {
        let filter = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(filter.to_string(), canonical, "{text}");
        assert_eq!(parse(canonical).unwrap(), filter, "{text}");
    }
}

#[test]
fn each_error_points_at_its_place() {
    for (text, caret, message, hint) in [
        (
            "knd:action",
            "^^^^",
            "there is no key `knd:`",
            "did you mean `kind:`?",
        ),
        (
            "a knid:action",
            "  ^^^^^",
            "there is no key `knid:`",
            "did you mean `kind:`?",
        ),
        (
            "kind:mutatoin",
            "     ^^^^^^^^",
            "`mutatoin` is no kind",
            "did you mean `kind:mutation`?",
        ),
        (
            "kind:mut",
            "     ^^^",
            "`mut` is no kind",
            "did you mean `kind:mutation`?",
        ),
        (
            "kind:",
            "^^^^^",
            "a value of `kind:` is missing",
            "it may be genesis, boot, seal",
        ),
        (
            "kind:action,",
            "            ^",
            "a value of `kind:` is missing",
            "it may be genesis",
        ),
        (
            "verdict:maybe",
            "        ^^^^^",
            "`maybe` is no verdict",
            "it may be allow, deny, hold",
        ),
        (
            "verdict:hold|den",
            "             ^^^",
            "`den` is no verdict",
            "put spaces around `|`",
        ),
        (
            "http://x",
            "^^^^^",
            "there is no key `http:`",
            "put the term in quotes",
        ),
        (
            "under:4",
            "^^^^^^",
            "there is no key `under:`",
            "write `under(SEQ)`",
        ),
        (
            "undr(4)",
            "^^^^",
            "there is no `undr(…)`",
            "did you mean `under(SEQ)`?",
        ),
        (
            "under(x)",
            "      ^",
            "`under` needs the number of a record",
            "`under(17)`",
        ),
        ("under(4", "     ^", "this `(` is never closed", ""),
        ("(a | b", "^", "this `(` is never closed", ""),
        ("a ) b", "  ^", "this `)` closes no parenthesis", ""),
        ("a ( ) b", "    ^", "a term is missing here", ""),
        ("a |", "   ^", "a term is missing here", ""),
        ("| a", "^", "a term is missing here", ""),
        (
            "a - b",
            "  ^",
            "what is to be left out must follow at once",
            "-kind:message",
        ),
        ("\"open", "^", "this `\"` is never closed", ""),
        (
            "...",
            "^^^",
            "there is no letter or digit to search for",
            "",
        ),
        (
            "a*b",
            " ^",
            "a `*` in the middle of a word finds nothing",
            "at the end",
        ),
        (
            "seq:9..4",
            "    ^^^^",
            "not the number of a record",
            "seq:17",
        ),
        (
            "session:a",
            "        ^",
            "`session:` needs the number of a record",
            "session:17",
        ),
        ("since:soon", "      ^^^^", "not a time", "2h"),
        ("since:", "^^^^^^", "not a time", "2h"),
        (
            "since:99999999999w",
            "      ^^^^^^^^^^^^",
            "not a time",
            "2h",
        ),
        (
            "path:a(b)",
            "      ^",
            "a value with a parenthesis needs quotes",
            "",
        ),
        (
            "x\u{1b}[31m knd:a",
            "          ^^^^",
            "there is no key `knd:`",
            "did you mean",
        ),
    ] {
        let error = parse(text).expect_err(text);
        let shown = error.caret(text);
        let (line, marks) = shown.split_once('\n').unwrap();
        assert!(!line.chars().any(char::is_control), "{text}");
        assert_eq!(marks, caret, "{text}: {error}");
        assert!(error.to_string().starts_with(message), "{text}: {error}");
        let given = error.hint().unwrap_or_default();
        assert!(given.contains(hint), "{text}: {given}");
    }
}

#[test]
fn nothing_is_nested_or_listed_without_end() {
    assert!(parse(&"(".repeat(100_000)).is_err());
    assert!(parse(&"-".repeat(100_000)).is_err());
    assert!(parse(&"a ".repeat(100_000)).is_err());
    assert!(parse(&format!("kind:action{}", ",action".repeat(1000))).is_err());
    let deep = format!("{}a{}", "(".repeat(30), ")".repeat(30));
    assert_eq!(parse(&deep).unwrap().to_string(), "a");
}

#[test]
fn paths_fit_by_whole_parts() {
    for (pattern, path, fits) in [
        ("main.rs", "src/main.rs", true),
        ("src", "src/main.rs", true),
        ("src/", "src/main.rs", true),
        ("rc", "src/main.rs", false),
        ("main", "src/main.rs", false),
        ("main*", "src/main.rs", true),
        ("*.rs", "src/main.rs", true),
        ("src/*.rs", "/home/x/src/a/b.rs", true),
        ("/src", "/home/src", false),
        ("/home", "/home/src", true),
        ("/", "/home", true),
        ("/", "home", false),
        ("*", "anything", true),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("a*b*c", "x/a1b2c", true),
        ("SRC", "src/main.rs", false),
    ] {
        let Filter::Term(Term::Path(patterns)) = parse(&format!("path:{pattern}")).unwrap() else {
            panic!("{pattern}");
        };
        assert_eq!(patterns[0].fits_path(path), fits, "{pattern} {path}");
    }
}

fn patterns() -> impl Strategy<Value = Vec<Pattern>> {
    let bare = "[a-z*\\\\\" (),|:!é\u{1b}-]{1,8}".prop_map(Pattern::exact);
    let gaps = "[a-z]{0,3}\\*[a-z]{0,3}".prop_map(|text| {
        let Filter::Term(Term::Is(_, patterns)) = parse(&format!("agent:{text}")).unwrap() else {
            panic!();
        };
        patterns.into_iter().next().unwrap()
    });
    prop::collection::vec(prop_oneof![bare, gaps], 1..3)
}

fn terms() -> impl Strategy<Value = Filter> {
    let key = prop::sample::select(vec![
        Key::Agent,
        Key::Actor,
        Key::Model,
        Key::Rule,
        Key::Tool,
    ]);
    let choice = prop::sample::select(vec![Key::Kind, Key::Via, Key::Verdict, Key::Part, Key::By]);
    prop_oneof![
        (key, patterns()).prop_map(|(key, patterns)| Term::Is(key, patterns)),
        (choice, any::<prop::sample::Index>()).prop_map(|(key, at)| {
            let names = key.choices().unwrap();
            Term::Is(key, vec![Pattern::exact(names[at.index(names.len())])])
        }),
        patterns().prop_map(Term::Path),
        (any::<u64>(), any::<u64>()).prop_map(|(a, b)| Term::Seq(vec![Span {
            first: a.min(b),
            last: a.max(b)
        }])),
        any::<i64>().prop_map(|ns| Term::Since(Time(ns))),
        any::<i64>().prop_map(|ns| Term::Until(Time(ns))),
        any::<u64>().prop_map(|seq| Term::Under(Seq(seq))),
        any::<u64>().prop_map(|seq| Term::Over(Seq(seq))),
        ("\\PC{0,6}[a-z0-9]\\PC{0,6}", any::<bool>())
            .prop_map(|(text, open)| Term::Words { text, open }),
    ]
    .prop_map(Filter::Term)
}

fn filters() -> impl Strategy<Value = Filter> {
    terms().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::all),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Filter::any),
            inner.prop_map(Filter::negated),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_as_the_same(filter in filters()) {
        let text = filter.to_string();
        prop_assert_eq!(parse(&text).map_err(|e| e.caret(&text)), Ok(filter), "{}", text);
    }

    #[test]
    fn any_text_is_a_filter_or_an_error_within_it(text in "[a-z:()|\"*!, \\-0-9\\\\é\u{202e}]{0,40}") {
        match parse(&text) {
            Ok(filter) => prop_assert_eq!(parse(&filter.to_string()), Ok(filter)),
            Err(error) => {
                let span = error.span();
                prop_assert!(text.get(span).is_some(), "{:?}", error);
                prop_assert!(error.caret(&text).lines().count() == 2);
            }
        }
    }
}
