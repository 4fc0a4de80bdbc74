//! `[services.headers]`: rules that can neither break a message's framing nor speak for the connection.

use super::values::{count_is_sane, dns_name, is_token};
use crate::checked::{HeaderRule, HeaderRules};
use crate::limits::{HEADER_NAME_BYTES_MAX, HEADER_VALUE_BYTES_MAX, RULES_MAX};
use crate::path::At;
use crate::raw;
use crate::report::Problems;

/// Fields of the connection or of the framing (RFC 9110, section 7.6.1; RFC 9112, section 6): the gateway's own.
const GATEWAY_FIELDS: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Response,
}

/// A service's header rules.
pub fn headers(raw: &raw::Headers, at: &At, problems: &mut Problems) -> Option<HeaderRules> {
    let request = rules(&raw.request, Direction::Request, &at.key("request"), problems);
    let response = rules(&raw.response, Direction::Response, &at.key("response"), problems);
    Some(HeaderRules { request: request?, response: response? })
}

fn rules(
    raw: &[raw::HeaderRule],
    direction: Direction,
    at: &At,
    problems: &mut Problems,
) -> Option<Vec<HeaderRule>> {
    if !count_is_sane(raw.len(), RULES_MAX, at, problems) {
        return None;
    }
    let mut rules = Vec::with_capacity(raw.len());
    for (index, one) in raw.iter().enumerate() {
        rules.push(rule(one, direction, &at.index(index), problems));
    }
    rules.into_iter().collect()
}

fn rule(raw: &raw::HeaderRule, direction: Direction, at: &At, problems: &mut Problems) -> Option<HeaderRule> {
    let (action, name) = match (&raw.add, &raw.set, &raw.remove) {
        (Some(name), None, None) => ("add", name),
        (None, Some(name), None) => ("set", name),
        (None, None, Some(name)) => ("remove", name),
        _ => {
            problems.add(at, "must have exactly one of add, set and remove, which names the header");
            return None;
        }
    };
    let name = field_name(name, action, direction, &at.key(action), problems);
    let at_value = at.key("value");
    let value = match (&raw.value, action) {
        (Some(_), "remove") => {
            problems.add(&at_value, "is for add and set; remove takes all lines of that name");
            None
        }
        (None, "remove") => Some(""),
        (Some(value), _) => field_value(value, &at_value, problems).map(|()| value.as_str()),
        (None, _) => {
            problems.add(&at_value, format!("is missing and must be given with {action}"));
            None
        }
    };
    let (name, value) = (name?, value?.to_owned());
    if name == "host" {
        host_value(&value, &at_value, problems)?;
    }
    Some(match action {
        "add" => HeaderRule::Add(name, value),
        "set" => HeaderRule::Set(name, value),
        _ => HeaderRule::Remove(name),
    })
}

fn field_name(
    name: &str,
    action: &str,
    direction: Direction,
    at: &At,
    problems: &mut Problems,
) -> Option<String> {
    let lower = free_field_name(name, at, problems)?;
    if lower == "host" && (direction == Direction::Response || action != "set") {
        problems.add(at, "can only be set, and only in requests: every request has exactly one");
        return None;
    }
    Some(lower)
}

/// The name of a field that is not the gateway's own, in lower case.
pub fn free_field_name(name: &str, at: &At, problems: &mut Problems) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let wrong = if !is_token(name) || name.len() > HEADER_NAME_BYTES_MAX {
        "must be a header name: letters, digits and !#$%&'*+-.^_`|~, without colon and spaces"
    } else if GATEWAY_FIELDS.contains(&lower.as_str()) {
        "belongs to the connection or to the framing of messages, which the gateway makes itself"
    } else {
        return Some(lower);
    };
    problems.add(at, wrong);
    None
}

/// RFC 9110, section 5.5.
fn field_value(value: &str, at: &At, problems: &mut Problems) -> Option<()> {
    let message = if let Some(place) = value.chars().position(|c| c.is_control() && c != '\t') {
        format!("must not hold control characters (CR, LF, NUL ...), as its character {} is", place + 1)
    } else if !value.is_ascii() {
        "must be ASCII: what recipients make of other characters is not defined".to_owned()
    } else if value.trim() != value {
        "must neither begin nor end with white space, which recipients take off".to_owned()
    } else if value.len() > HEADER_VALUE_BYTES_MAX {
        format!("has {} bytes, at most {HEADER_VALUE_BYTES_MAX} are allowed", value.len())
    } else {
        return Some(());
    };
    problems.add(at, message);
    None
}

/// What can stand in a Host field: a name or an address, perhaps with a port.
pub fn host_value(value: &str, at: &At, problems: &mut Problems) -> Option<()> {
    let (host, port) = match value.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (value, None),
    };
    let port_is_right = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|_| !port.starts_with('+')));
    let host_is_right = host.parse::<std::net::Ipv4Addr>().is_ok()
        || dns_name(host).is_ok()
        || host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    if !(port_is_right && host_is_right) {
        problems.add(at, "must be a host: a name or an IP address, and perhaps a port");
        return None;
    }
    Some(())
}
