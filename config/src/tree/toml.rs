//! TOML text to a [`Node`], by the toml crate's own spanned tables.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Entry, Node, SyntaxError, Value};

pub fn parse(text: &str) -> Result<Node<'_>, Vec<SyntaxError>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let mut errors = Vec::new();
        let root = Node { offset: 0, value: Value::Table(entries(table.into_inner(), &mut errors)) };
        return if errors.is_empty() { Ok(root) } else { Err(errors) };
    }
    let syntax_error = |error: &toml::de::Error| SyntaxError {
        offset: error.span().map(|span| span.start),
        message: error.message().replace('\n', ", "),
    };
    Err(errors.iter().map(syntax_error).collect())
}

fn entries<'a>(table: DeTable<'a>, errors: &mut Vec<SyntaxError>) -> Vec<Entry<'a>> {
    let entry = |(key, value): (Spanned<_>, _)| {
        let offset = key.span().start;
        Entry { key: key.into_inner(), offset, node: node(value, errors) }
    };
    table.into_iter().map(entry).collect()
}

fn node<'a>(value: Spanned<DeValue<'a>>, errors: &mut Vec<SyntaxError>) -> Node<'a> {
    let offset = value.span().start;
    let mut bad = |message: &str| {
        errors.push(SyntaxError { offset: Some(offset), message: message.to_owned() });
        Value::Null
    };
    let value = match value.into_inner() {
        DeValue::String(text) => Value::String(text),
        DeValue::Boolean(yes) => Value::Bool(yes),
        DeValue::Datetime(at) => Value::Datetime(at.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => bad("the integer does not fit into 64 bits"),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => bad("not a number"),
        },
        DeValue::Array(items) => Value::Array(items.into_iter().map(|item| node(item, errors)).collect()),
        DeValue::Table(table) => Value::Table(entries(table, errors)),
    };
    Node { offset, value }
}
