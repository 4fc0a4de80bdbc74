use proptest::prelude::*;

use super::*;

fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

/// A message with its prefix.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut content = vec![0];
    content.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    content.extend_from_slice(message);
    content
}

/// What an answer with that content means, which the node says is fine.
fn judged(content: &[u8]) -> Result<(), String> {
    let mut answer = Answer::begin(200, &fields(&[("content-type", "application/grpc")]))?;
    answer.push(content)?;
    answer.end(Some(&fields(&[("grpc-status", "0")])))
}

#[track_caller]
fn assert_wrong(result: Result<(), String>, what: &str) {
    let error = result.unwrap_err();
    assert!(error.contains(what), "{error}");
}

#[test]
fn the_question_names_the_service() {
    assert_eq!(question(""), [0, 0, 0, 0, 0]);
    assert_eq!(question("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
    let long = question(&"x".repeat(256));
    assert_eq!(long[..8], [0, 0, 0, 1, 3, 0x0a, 0x80, 2]);
    assert_eq!(long.len(), 5 + 3 + 256);
}

#[test]
fn serving_alone_is_healthy() {
    assert_eq!(judged(&framed(&[8, 1])), Ok(()));
    for (status, name) in [(0, "UNKNOWN"), (2, "NOT_SERVING"), (3, "SERVICE_UNKNOWN")] {
        assert_eq!(judged(&framed(&[8, status])), Err(name.into()));
    }
    assert_eq!(judged(&framed(&[])), Err("UNKNOWN".into()), "what is left out is 0");
    assert_wrong(judged(&framed(&[8, 4])), "not known: 4");
    assert_wrong(judged(&framed(&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])), "not known");
}

#[test]
fn the_last_status_counts_and_other_fields_are_passed_over() {
    assert_eq!(judged(&framed(&[8, 2, 8, 1])), Ok(()));
    let others = [0x10, 0x96, 1, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x22, 2, 8, 2, 0x2d, 1, 2, 3, 4];
    let message = [&[8, 1], &others[..]].concat();
    assert_eq!(judged(&framed(&message)), Ok(()));
}

#[test]
fn a_malformed_message_is_a_failure() {
    for message in [
        &[8][..],                                                            // no value
        &[8, 0x80],                                                          // half a value
        &[0, 1],                                                             // field 0
        &[0x0b, 0x0c],                                                       // a group
        &[0x22, 9, 1],                                                       // longer than the message
        &[0x2d, 1, 2, 3],                                                    // three of four bytes
        &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],       // 65 bits
        &[8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0], // eleven bytes
    ] {
        assert_wrong(judged(&framed(message)), "malformed");
    }
    assert_wrong(judged(b""), "no message");
    assert_wrong(judged(&[0, 0, 0, 0]), "no message");
    assert_wrong(judged(&[1, 0, 0, 0, 2, 8, 1]), "compressed");
    assert_wrong(judged(&[0, 0, 0, 0, 2, 8]), "one whole message");
    assert_wrong(judged(&[0, 0, 0, 0, 2, 8, 1, 0]), "one whole message");
}

#[test]
fn a_call_that_failed_says_how() {
    let failed = |status, message| {
        let grpc = [("content-type", "application/grpc+proto"), ("grpc-status", status)];
        Answer::begin(200, &fields(&[&grpc[..], &[("grpc-message", message)]].concat())).map(|_| ())
    };
    assert_wrong(
        failed("12", "Method not found!"),
        "grpc-status 12 (UNIMPLEMENTED); the node does not offer",
    );
    assert_wrong(failed("12", "Method not found!"), ": Method not found!");
    assert_wrong(failed("5", ""), "5 (NOT_FOUND); the node does not know the service");
    assert_wrong(failed("14", "later"), "grpc-status 14 (UNAVAILABLE): later");
    assert_wrong(failed("99", ""), "grpc-status 99 (not known)");
    assert_wrong(failed("x", ""), "no number");
}

#[test]
fn what_is_not_grpc_is_a_failure() {
    let begin =
        |status, pairs: &[(&'static str, &'static str)]| Answer::begin(status, &fields(pairs)).map(|_| ());
    assert_wrong(begin(404, &[("content-type", "application/grpc")]), "HTTP status 404");
    assert_wrong(begin(200, &[("content-type", "text/html")]), "not gRPC");
    assert_wrong(begin(200, &[]), "not gRPC");
    let answer = || Answer::begin(200, &fields(&[("content-type", "application/grpc")])).unwrap();
    assert_wrong(answer().end(None), "without grpc-status");
    assert_wrong(answer().end(Some(&fields(&[("x", "y")]))), "without grpc-status");
}

#[test]
fn an_answer_has_a_most() {
    let mut answer = Answer::begin(200, &fields(&[("content-type", "application/grpc")])).unwrap();
    assert_eq!(answer.push(&vec![0; ANSWER_BYTES_MAX]), Ok(()));
    assert_wrong(answer.push(&[0]), "longer than 4096 bytes");
}

proptest! {
    #[test]
    fn no_content_panics(content in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = judged(&content);
    }

    #[test]
    fn no_message_panics(message in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = judged(&framed(&message));
    }

    #[test]
    fn a_varint_goes_round(value in any::<u64>(), rest in proptest::collection::vec(any::<u8>(), 0..4)) {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, value);
        bytes.extend_from_slice(&rest);
        let mut left = &bytes[..];
        prop_assert_eq!(varint(&mut left), Some(value));
        prop_assert_eq!(left, &rest[..]);
    }

    #[test]
    fn a_status_is_read_between_any_other_fields(
        status in any::<u64>(),
        before in proptest::collection::vec((2_u8..16, any::<u64>()), 0..8),
        after in proptest::collection::vec((2_u8..16, proptest::collection::vec(any::<u8>(), 0..9)), 0..8),
    ) {
        let mut message = Vec::new();
        for (field, value) in before {
            message.push(field << 3);
            put_varint(&mut message, value);
        }
        message.push(8);
        put_varint(&mut message, status);
        for (field, value) in after {
            message.push(field << 3 | 2);
            put_varint(&mut message, value.len() as u64);
            message.extend_from_slice(&value);
        }
        prop_assert_eq!(serving_status(&message), Some(status));
    }
}
