//! Tables of cases, and properties.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    Failed, Subject, compile,
    compile::{CHAINED_MAX, NESTED_MAX, TEXT_MAX},
    object,
};
use crate::item::{Item, item_from_json};

fn of(text: &str, item: &Item) -> Result<bool, Failed> {
    let expression = compile(text, &[Subject::Item]).unwrap_or_else(|bad| panic!("{text}: {bad:?}"));
    expression.holds_of(item)
}

fn refused(text: &str, subject: Subject) -> (usize, String, String) {
    let bad = compile(text, &[subject]).expect_err(text).remove(0);
    (bad.at.unwrap_or(0), bad.message, bad.mend)
}

/// One attribute of every type.
fn sample() -> Item {
    let text = r#"{"s":{"S":"Österreich"},"n":{"N":"9007199254740993"},"f":{"N":"0.1"},"zero":{"N":"0"},
        "b":{"B":"AAH/"},"yes":{"BOOL":true},"no":{"BOOL":false},"nil":{"NULL":true},
        "m":{"M":{"a":{"S":"x"},"deep":{"M":{"n":{"N":"1"}}}}},"l":{"L":[{"N":"1"},{"N":"2.50"},{"N":"3"}]},
        "mixed":{"L":[{"S":"a"},{"N":"1"}]},"ss":{"SS":["a","b"]},"ns":{"NS":["1","2.0"]},"bs":{"BS":["AA=="]},
        "a-b":{"S":"dash"},"e":{"S":""}}"#;
    item_from_json(text.as_bytes()).expect("an item")
}

#[test]
fn every_type_answers_exactly() {
    let item = sample();
    for (text, expected) in [
        // Numbers: no f64 comes between.
        ("item.n == 9007199254740993", true),
        ("item.n == 9007199254740992", false),
        ("item.n == 9007199254740993.0", true),
        ("item.n == 9007199254740992.0", false),
        ("item.n > 9007199254740992.0", true),
        ("item.n == 0x20000000000001", true),
        ("item.n == decimal(\"9007199254740993.0000000001\")", false),
        ("item.n < decimal('12345678901234567890123456789012345678')", true),
        ("item.f == 0.1", true),
        ("item.f + 0.2 == 0.3", true),
        ("item.f == 0.1000000000000000055511151231257827", false),
        ("item.f * 3 == 0.3 && item.f - 1 == -0.9 && -item.f == -0.1", true),
        ("item.n % 10 == 3 && -item.n % 10 == -3 && item.zero % 7 == 0", true),
        ("item.zero == -0.0 && item.zero + item.f == item.f && item.f - item.zero == 1e-1", true),
        // Texts.
        ("item.s == 'Österreich' && item.s.size() == 10 && size(item.e) == 0", true),
        ("item.s.startsWith('Ö') && item.s.endsWith('reich') && item.s.contains('err')", true),
        ("item.s < 'ö' && item.s > 'Z' && 'a' + 'b' == 'ab'", true),
        ("item.yes && 'IN'.lowerAscii() == 'in' && 'in'.upperAscii() == 'IN'", true),
        ("item['a-b'] == \"dash\" && 'a-b' in item && !('c-d' in item)", true),
        // Binaries, booleans, null.
        (r"item.b == b'\x00\x01\xff' && item.b.size() == 3 && item.b > b'\x00'", true),
        ("item.yes && !item.no && item.yes != item.no", true),
        ("item.nil == null && item.s != null && null in [null]", true),
        // Maps, lists and sets.
        ("item.m.a == 'x' && item.m.deep.n == 1 && item.m['a'] == 'x' && 'a' in item.m", true),
        ("has(item.m.deep.n) && !has(item.m.deep.o) && !has(item.none) && has(item.nil)", true),
        ("item.l[1] == 2.5 && item.l.size() == 3 && 2.5 in item.l && !(4 in item.l)", true),
        ("item.l == [1, 2.5, 3.0] && item.l != [1, 2.5]", true),
        ("'a' in item.mixed && 1 in item.mixed", true),
        ("'a' in item.ss && !('c' in item.ss) && item.ss.size() == 2", true),
        ("2 in item.ns && item.ns.all(n, n < 3) && b'\\x00' in item.bs", true),
        ("item.m.deep == {'n': 1} && item.m.deep != {'n': 2} && size(item.m) == 2", true),
        // Macros.
        ("item.l.all(n, n > 0) && item.l.exists(n, n == 3) && item.l.exists_one(n, n > 2.5)", true),
        ("item.l.map(n, n * 2) == [2, 5, 6] && item.l.filter(n, n > 1).size() == 2", true),
        ("item.l.map(n, n > 1, n + 1) == [3.5, 4]", true),
        ("item.m.exists(name, name == 'deep')", true),
        ("item.l.exists(n, item.ns.exists(m, m == n && m == 1))", true),
        ("item.l.all(item, item > 0) && item.s != ''", true),
        ("(item.yes ? item.s : item.n) == 'Österreich'", true),
        ("item.s in ['Deutschland', 'Österreich']", true),
        // What is not asked cannot fail.
        ("!has(item.none) || item.none == 1", true),
        ("has(item.none) && item.none == 1", false),
        ("item.yes || item.none == 1", true),
    ] {
        assert_eq!(of(text, &item), Ok(expected), "{text}");
    }
}

#[test]
fn what_cannot_be_said_is_an_error_and_never_false() {
    let item = sample();
    for (text, expected) in [
        ("item.country == 'IN'", "it has no \"country\": ask for it with has() first"),
        ("item.country != 'IN'", "it has no \"country\""),
        ("!(item.country == 'IN')", "it has no \"country\""),
        ("item.country == 'IN' || item.yes", "it has no \"country\""),
        ("item.country == 'IN' && item.no", "it has no \"country\""),
        ("item.m.b == 'x'", "it has no \"b\""),
        ("has(item.s.b)", "has() does not fit a text"),
        ("has(item.none.b)", "it has no \"none\""),
        ("item.s == 1", "== does not fit a text and a number"),
        ("item.s != 1", "!= does not fit a text and a number"),
        ("item.n == '9007199254740993'", "== does not fit a number and a text"),
        ("item.ss == ['a', 'b']", "== does not fit a set of texts and a list"),
        ("item.s in [1, 2]", "in does not fit a number and a text"),
        ("1 in item.ss", "in does not fit a number and a set of texts"),
        ("2 in item.mixed", "in does not fit a text and a number"),
        ("item.s < 1", "< does not fit a text and a number"),
        ("item.yes < item.no", "< does not fit a boolean and a boolean"),
        ("item.nil < 1", "< does not fit null and a number"),
        ("item.s", "the expression came to a text, and must come to true or false"),
        ("item.nil", "the expression came to null"),
        ("item.s && item.yes", "&& does not fit a text"),
        ("item.s ? true : false", "?: does not fit a text"),
        ("item.l[3] == 1", "an index lies outside"),
        ("item.l[0.5] == 1", "an index lies outside"),
        ("item.l[-1] == 1", "an index lies outside"),
        ("item.s[0] == 'x'", "[] does not fit a text and a number"),
        ("item.l.all(n, n.a == 1)", "a field does not fit a number"),
        ("item.l.exists(n, n == 'a')", "== does not fit a number and a text"),
        ("item.s.all(n, true)", "a macro does not fit a text"),
        ("item.n * decimal('1E100') + 1 == 0", "the exact result of + does not fit"),
        ("item.n * decimal('12345678901234567890123456789') == 0", "the exact result of * does not fit"),
        ("item.f % 2 == 0", "% takes whole numbers"),
        ("item.n % 0 == 0", "% takes whole numbers"),
        ("decimal(item.s) == 0", "decimal() was given a text that is no number"),
        ("item.n + 'a' == 'a'", "+ does not fit a number and a text"),
    ] {
        let error = of(text, &item).expect_err(text).to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn what_can_never_work_is_refused_with_its_place() {
    for (text, at, message, mend) in [
        ("item.country = 'IN'", 13, "this is no expression", "write a CEL expression"),
        ("item.a == ", 10, "this is no expression: it ends too early", "write a CEL expression"),
        ("itm.country == 'IN'", 0, "does not look at `item`", "did you mean `item` in place of `itm`?"),
        ("1 == 1", 0, "does not look at `item`", "write a condition on `item`"),
        ("item.a == 'ä' && country == 'IN'", 18, "`country` is not known", "write item.country"),
        ("item.a == 1 || object.size == 2", 15, "`object` is not known", "seen as `item`"),
        ("item.a / 2 == 1", 7, "there is no division", "multiply the other side"),
        ("item.a.matches('x')", 14, "there is no \"matches\"", "there are size()"),
        ("item == {}", 0, "`item` as a whole", "name an attribute"),
        ("item[item.a] == 1", 5, "the names of attributes cannot be computed", "write the name in quotes"),
        ("item.exists(a, a == 'x')", 0, "not over `item`", "name an attribute"),
        ("item.a == 12345678901234567890", 10, "this is no expression: invalid int", "decimal(\"...\")"),
        ("item.a == 0.123456789012345678901234567890123456789", 10, "more than 38 significant digits", "decimal"),
        ("item.a == {1: 2}", 11, "the names in a map are texts", "quotes"),
        ("item.a == Country{name: 'x'}", 10, "messages are not known here", "use a map"),
    ] {
        let (place, what, how) = refused(text, Subject::Item);
        assert!(what.contains(message) && how.contains(mend), "{text}: {what}; {how}");
        assert!(place.abs_diff(byte(text, at)) <= 8, "{text}: {place}");
    }
    let (_, what, how) = refused("object.siez > 1", Subject::Object);
    assert_eq!((what.as_str(), how.as_str()), ("an object has no \"siez\"", "did you mean object.size?"));
    let (_, _, how) = refused("has(object.owner)", Subject::Object);
    assert_eq!(how, "an object has key, size, metadata, tags");
    // As deep and as long as it may be, on the small stack of a test's thread.
    let (brackets, chain) =
        (|n: usize| ("(".repeat(n), ")".repeat(n)), |of: &str, n: usize| "item.a".to_owned() + &of.repeat(n));
    let within = |n: usize| format!("item.a == {}1{}", brackets(n).0, brackets(n).1);
    assert!(compile(&within(NESTED_MAX), &[Subject::Item]).is_ok());
    let not = "!".repeat(NESTED_MAX) + "item.a";
    for text in [
        not,
        within(NESTED_MAX).replace('(', "[").replace(')', "]"),
        within(NESTED_MAX).replace('(', "(1 + "),
        chain("+1", CHAINED_MAX - 1),
        chain("&&1", CHAINED_MAX - 1),
        chain(".a", CHAINED_MAX - 1),
        chain("[1]", CHAINED_MAX - 1),
        chain("?1:1", CHAINED_MAX / 2 - 1),
        chain(" in[1]", CHAINED_MAX / 2 - 1),
    ] {
        _ = compile(&text, &[Subject::Item]).map(|expression| _ = expression.holds_of(&sample()));
    }
    let (_, what, how) = refused(&within(NESTED_MAX + 1), Subject::Item);
    assert!(what.contains("nested too deep") && how.contains("flatter"), "{what}; {how}");
    let (_, what, _) = refused(&chain("+1", CHAINED_MAX), Subject::Item);
    assert!(what.contains("too many operators"), "{what}");
    let quoted = format!("item.a == '{}' && item.b == \"\\\"{}\"", "((((.+&&".repeat(100), "[[[[".repeat(100));
    assert!(compile(&quoted, &[Subject::Item]).is_ok());
    let (_, what, how) = refused(&("item.a == 1".to_owned() + &" ".repeat(TEXT_MAX)), Subject::Item);
    assert_eq!((what.as_str(), how.as_str()), ("an expression has at most 8000 bytes", "write it shorter"));
}

/// The byte at which a character begins.
fn byte(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
}

#[test]
fn an_expression_knows_what_it_needs() {
    for (text, needs) in [
        ("item.country == 'IN'", &["country"][..]),
        ("has(item.a) && 'b-c' in item && item['d'].e == 1", &["a", "b-c", "d"]),
        ("item.l.all(item, item > 0)", &["l"]),
    ] {
        let found = compile(text, &[Subject::Item]).unwrap();
        assert_eq!(found.needs().iter().map(String::as_str).collect::<Vec<_>>(), needs, "{text}");
    }
    let found = compile("object.key.startsWith('in/') && object.tags['c'] == 'IN'", &[Subject::Item, Subject::Object]);
    let found = found.unwrap();
    assert_eq!(found.subject(), Subject::Object);
    assert_eq!(found.needs().iter().map(String::as_str).collect::<Vec<_>>(), ["key", "tags"]);
}

#[test]
fn objects_show_what_was_looked_at() {
    let texts = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let (metadata, tags) = (texts("country", "IN"), texts("tier", "gold"));
    let whole = object(&"in/a.txt".into(), u64::MAX, Some(&metadata), Some(&tags));
    let of = |text: &str, record: &Item| compile(text, &[Subject::Object]).unwrap().holds_of(record);
    for text in [
        "object.key == 'in/a.txt' && object.key.startsWith('in/')",
        "object.size == 18446744073709551615u && object.size > 9223372036854775807",
        "object.metadata.country == 'IN' && object.tags['tier'] == 'gold' && !has(object.tags.none)",
    ] {
        assert_eq!(of(text, &whole), Ok(true), "{text}");
    }
    let bare = object(&"k".into(), 1, None, None);
    assert_eq!(of("object.tags.tier == 'gold'", &bare), Err(Failed::Missing("tags".to_owned())));
}

#[test]
fn an_evaluation_ends_in_bounded_time() {
    let long = "[1,2,3,4,5,6,7,8,9,10,11,12]";
    let mut text = "item.yes".to_owned();
    for variable in ["a", "b", "c", "d", "e", "f", "g"] {
        text = format!("{long}.all({variable}, {text})");
    }
    assert!(matches!(of(&text, &sample()), Err(Failed::TooLong(_))));
    let copies = "item.l.map(a, item.l.map(b, item.l.map(c, item.l.map(d, item.l.map(e, item.l.map(f, [a, b, item.m, item.l, \
                  item.ss])))))).size() > 0";
    let doubled = &copies.replace("item.l.", &format!("{long}."));
    assert!(matches!(of(doubled, &sample()), Err(Failed::TooLong(_))));
}

proptest! {
    /// Whatever is written, it compiles or is refused, and evaluating it ends.
    #[test]
    fn no_text_is_too_strange(text in "(item|object|\\.|[a-c]|\"x\"|[0-9]{1,3}| |==|&&|\\+|\\(|\\)|\\[|\\]|in|has|all|,|-|ß){1,14}") {
        for subject in [Subject::Item, Subject::Object] {
            match compile(&text, &[subject]) {
                Ok(expression) => _ = expression.holds_of(&sample()),
                Err(bad) => prop_assert!(!bad.is_empty() && bad.iter().all(|bad| bad.at.is_none_or(|at| at <= text.len()))),
            }
        }
    }

    /// Sums, differences, products and comparisons are those of whole numbers, at every scale.
    #[test]
    fn arithmetic_is_exact(a in -1_000_000_000_000i64..1_000_000_000_000, b in -1_000_000_000_000i64..1_000_000_000_000, scale in -40i32..40) {
        let item = item_from_json(format!(r#"{{"a":{{"N":"{a}E{scale}"}},"b":{{"N":"{b}E{scale}"}}}}"#).as_bytes()).unwrap();
        let (sum, product) = (i128::from(a) + i128::from(b), i128::from(a) * i128::from(b));
        for (text, expected) in [
            (format!("item.a + item.b == decimal('{sum}E{scale}')"), true),
            (format!("decimal('{sum}E{scale}') - item.b == item.a"), true),
            (format!("item.a * item.b == decimal('{product}E{}')", 2 * scale), true),
            ("item.a < item.b".to_owned(), a < b),
            ("item.a == item.b".to_owned(), a == b),
        ] {
            prop_assert_eq!(of(&text, &item), Ok(expected), "{}", text);
        }
    }

    /// Where our answer is one, CEL's own evaluator gives the same.
    #[test]
    fn cel_agrees(a in any::<bool>(), b in any::<bool>(), n in -100i64..100, s in "[a-c]{0,3}", form in 0usize..8) {
        let forms = [
            "item.a && item.b || item.n > 3", "item.a ? item.b : item.n < 0", "item.s in ['a', 'ab', 'b']",
            "item.s.startsWith('a') || item.s.size() == 0", "!item.a || item.n % 7 == 1 && item.s != 'c'",
            "[1, 2, 3].exists(x, x == item.n) || item.b", "[item.n, 4].all(x, x > 0)",
            "['a', 'b'].filter(x, x == item.s).size() == 1",
        ];
        let json = format!(r#"{{"a":{{"BOOL":{a}}},"b":{{"BOOL":{b}}},"n":{{"N":"{n}"}},"s":{{"S":"{s}"}}}}"#);
        let ours = of(forms[form], &item_from_json(json.as_bytes()).unwrap());
        let mut context = cel::Context::default();
        let item: std::collections::HashMap<&str, cel::Value> =
            [("a", a.into()), ("b", b.into()), ("n", n.into()), ("s", s.as_str().into())].into();
        context.add_variable_from_value("item", item);
        let theirs = cel::Program::compile(forms[form]).unwrap().execute(&context).unwrap();
        prop_assert_eq!(cel::Value::from(ours.unwrap()), theirs);
    }
}
