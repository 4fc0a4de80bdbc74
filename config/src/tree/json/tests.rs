use proptest::prelude::*;
use serde_json::json;

use super::*;

/// JSON that says the same as a node.
fn value(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(yes) => json!(yes),
        Value::Integer(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::String(text) => json!(text),
        Value::Array(items) => items.iter().map(value).collect(),
        Value::Table(entries) => {
            entries.iter().map(|entry| (entry.key.to_string(), value(&entry.node))).collect()
        }
        Value::Parts(parts) => parts.iter().map(|part| value(&part.read().unwrap())).collect(),
        Value::Datetime(_) => panic!("JSON has no dates"),
    }
}

/// The first value of a text.
fn first(text: &str) -> serde_json::Value {
    serde_json::Deserializer::from_str(text).into_iter().next().unwrap().unwrap()
}

/// Every value and every key stands where it is said to.
fn expect_in_place(text: &str, node: &Node) {
    assert_eq!(first(&text[node.offset..]), value(node), "{text} at {}", node.offset);
    match &node.value {
        Value::Array(items) => items.iter().for_each(|item| expect_in_place(text, item)),
        Value::Table(entries) => {
            for entry in entries {
                assert_eq!(first(&text[entry.offset..]), json!(entry.key), "{text} at {}", entry.offset);
                expect_in_place(text, &entry.node);
            }
        }
        Value::Parts(parts) => {
            parts.iter().for_each(|part| expect_in_place(text, &part.read().unwrap()));
        }
        _ => {}
    }
}

fn values() -> impl Strategy<Value = serde_json::Value> {
    let scalar = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(|it| json!(it)),
        any::<i64>().prop_map(|it| json!(it)),
        // Quarters, which everybody's parser reads alike.
        any::<i32>().prop_map(|it| json!(f64::from(it) / 4.0)),
        "[a-z\\\\\"\n\u{e9}\u{4e2d}\u{1f600}/:,{}\\[\\] ]{0,6}".prop_map(|it| json!(it)),
    ];
    scalar.prop_recursive(4, 40, 5, |inner| {
        let key = "[a-c\\\\\"\u{4e2d}:]{0,3}";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            prop::collection::btree_map(key, inner, 0..12)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn everything_is_found_where_it_stands(given in values(), pretty: bool, before in "[ \n\t\r]{0,3}") {
        let text = if pretty { serde_json::to_string_pretty(&given) } else { serde_json::to_string(&given) };
        let text = format!("{before}{}\n", text.unwrap());
        for node in [parse(&text).unwrap(), parse_in_parts(&text).unwrap()] {
            prop_assert_eq!(value(&node), given.clone());
            expect_in_place(&text, &node);
        }
    }

    #[test]
    fn what_is_no_json_is_refused_and_nothing_panics(text in "[\\[\\]{}:, \"\\\\a1e.tru\u{4e2d}-]{0,12}") {
        let (whole, in_parts) = (parse(&text), parse_in_parts(&text));
        if serde_json::from_str::<serde_json::Value>(&text).is_err() {
            let whole = whole.unwrap_err();
            prop_assert!(whole.offset.is_some_and(|at| text.is_char_boundary(at)), "{:?}", whole);
            prop_assert!(in_parts.is_err());
        }
    }
}

#[test]
fn only_elements_of_the_outermost_lists_are_parts() {
    let text = r#"{"a": [ {"b": [1, 2]} , "x" ], "c": {"d": [3]}}"#;
    let Value::Table(entries) = parse_in_parts(text).unwrap().value else { panic!("a table") };
    let [Entry { node: a, .. }, Entry { node: c, .. }] = &entries[..] else { panic!("{entries:?}") };
    let Value::Parts(parts) = &a.value else { panic!("{a:?}") };
    assert_eq!(parts.iter().map(|part| part.offset).collect::<Vec<_>>(), [8, 24]);
    assert!(matches!(&c.get("d").unwrap().value, Value::Array(items) if items.len() == 1));
}

#[test]
fn what_is_wrong_in_a_part_is_told_as_in_the_whole() {
    let too_deep = "[".repeat(20) + &"]".repeat(20);
    for inner in [r#"{"k": 1, "k": 2}"#, "99999999999999999999", &too_deep] {
        let text = format!("{{\"services\": [\n 1,\n {inner}]}}");
        let whole = parse(&text).unwrap_err();
        let Value::Table(entries) = parse_in_parts(&text).unwrap().value else { panic!("a table") };
        let Value::Parts(parts) = &entries[0].node.value else { panic!("{entries:?}") };
        let in_part = parts[1].read().unwrap_err();
        assert_eq!((whole.offset, whole.message), (in_part.offset, in_part.message), "{inner}");
    }
}
