//! Faults that a request may ask for, so that tests can see what they do to others. Only with the feature
//! `fault-injection`, never in a release.

use crate::http::head::RequestHead;

/// Panics if the request asks for it: `x-coregate-fault: panic`.
pub fn on_request(head: &RequestHead) {
    let asked = |field: &&crate::http::head::Field| field.name.eq_ignore_ascii_case("x-coregate-fault");
    if head.fields.iter().find(asked).is_some_and(|field| field.value == b"panic") {
        panic!("a request asked for this panic");
    }
}
