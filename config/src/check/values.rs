//! Checks of single values that several parts of the schema share.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use crate::limits::{CONNECTIONS_MAX, LOCATION_BYTES_MAX, NAME_BYTES_MAX, NETWORKS_MAX, TIME_MAX, TIME_MIN};
use crate::path::At;
use crate::report::{Problems, quoted};
use crate::units::{Size, Time};

/// A whole number within bounds.
pub fn integer<T: TryFrom<i64>>(
    value: i64,
    bounds: RangeInclusive<i64>,
    at: &At,
    problems: &mut Problems,
) -> Option<T> {
    if !bounds.contains(&value) {
        problems.add(at, format!("must be {} to {}", bounds.start(), bounds.end()));
        return None;
    }
    T::try_from(value).ok()
}

/// A number of connections; 0 has a meaning of its own where it is allowed.
pub fn connections(value: i64, min: i64, at: &At, problems: &mut Problems) -> Option<usize> {
    integer(value, min..=CONNECTIONS_MAX, at, problems)
}

/// A duration of the usual bounds.
pub fn time(value: Time, at: &At, problems: &mut Problems) -> Option<Duration> {
    time_within(value, TIME_MIN..=TIME_MAX, at, problems)
}

/// A duration within bounds.
pub fn time_within(
    value: Time,
    bounds: RangeInclusive<Duration>,
    at: &At,
    problems: &mut Problems,
) -> Option<Duration> {
    if !bounds.contains(&value.0) {
        problems.add(at, format!("must be {} to {}", Time(*bounds.start()), Time(*bounds.end())));
        return None;
    }
    Some(value.0)
}

/// A size within bounds.
pub fn size(value: Size, bounds: RangeInclusive<u64>, at: &At, problems: &mut Problems) -> Option<u64> {
    if !bounds.contains(&value.0) {
        problems.add(at, format!("must be {} to {}", Size(*bounds.start()), Size(*bounds.end())));
        return None;
    }
    Some(value.0)
}

/// A name that goes into URLs, metric labels and Redis keys as it is.
pub fn name(value: &str, at: &At, problems: &mut Problems) -> Option<()> {
    if value.is_empty() || value.len() > NAME_BYTES_MAX {
        problems
            .add(at, format!("must have 1 to {NAME_BYTES_MAX} characters, not {}", value.chars().count()));
        return None;
    }
    if let Some(odd) = value.chars().find(|c| !c.is_ascii_alphanumeric() && !"_.-".contains(*c)) {
        problems.add(at, format!("must consist of A-Z a-z 0-9 _ . - and has {odd:?}"));
        return None;
    }
    Some(())
}

/// Text for people: any, but of a sane length.
pub fn text(value: &str, bytes_max: usize, at: &At, problems: &mut Problems) -> Option<String> {
    if value.len() > bytes_max {
        problems.add(at, format!("has {} bytes, at most {bytes_max} are allowed", value.len()));
        return None;
    }
    if let Some(odd) = value.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t') {
        problems.add(at, format!("has the control character {odd:?}"));
        return None;
    }
    Some(value.to_owned())
}

/// A file name or URL: not empty, no control characters.
pub fn location(value: &str, at: &At, problems: &mut Problems) -> Option<String> {
    if value.trim().is_empty() {
        problems.add(at, "must not be empty");
        return None;
    }
    text(value, LOCATION_BYTES_MAX, at, problems)
}

/// Whether a list has no more elements than are allowed; if it has, its elements are not looked at.
pub fn count_is_sane(count: usize, max: usize, at: &At, problems: &mut Problems) -> bool {
    if count > max {
        problems.add(at, format!("has {count} elements, at most {max} are allowed"));
    }
    count <= max
}

/// A list of networks.
pub fn networks(values: &[String], at: &At, problems: &mut Problems) -> Option<Vec<IpNet>> {
    if !count_is_sane(values.len(), NETWORKS_MAX, at, problems) {
        return None;
    }
    let mut networks = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        match network(value) {
            Ok(network) => networks.push(network),
            Err(message) => problems.add(&at.index(index), message),
        }
    }
    (networks.len() == values.len()).then_some(networks)
}

/// A network in CIDR notation, or one address.
fn network(value: &str) -> Result<IpNet, String> {
    if let Ok(address) = value.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let network: IpNet = value.parse().map_err(|_| explain_network(value))?;
    if network.trunc() != network {
        return Err(format!(
            "has address bits beyond /{}: write \"{}\" for the network or \"{}\" for the one address",
            network.prefix_len(),
            network.trunc(),
            network.addr(),
        ));
    }
    Ok(network)
}

fn explain_network(value: &str) -> String {
    let form = "a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", or one address";
    match value.split_once('/') {
        Some((address, prefix)) => match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => {
                format!("must be {form}: {} is no prefix length from 0 to 32", quoted(prefix))
            }
            Ok(IpAddr::V6(_)) => {
                format!("must be {form}: {} is no prefix length from 0 to 128", quoted(prefix))
            }
            Err(_) => format!("must be {form}: {} is no IP address", quoted(address)),
        },
        None => format!("must be {form}"),
    }
}

/// Whether a text is a token (RFC 9110, section 5.6.2): a method or a field name.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A DNS name, lower case, or what is wrong with it.
pub fn dns_name(name: &str) -> Result<String, String> {
    if !name.is_ascii() {
        return Err("must be ASCII: write an international name in its xn-- form".to_owned());
    }
    if let Some(without_dot) = name.strip_suffix('.') {
        return Err(format!("must not end with a dot: write {}", quoted(without_dot)));
    }
    if name.is_empty() || name.len() > 253 {
        return Err("must be a host name of 1 to 253 characters".to_owned());
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err("must be a host name whose labels have 1 to 63 characters".to_owned());
        }
        if let Some(odd) = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-' && *c != '_') {
            return Err(format!("must be a host name and has {odd:?}"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("must be a host name whose labels neither begin nor end with '-'".to_owned());
        }
    }
    // What looks like an IPv4 address and is none ("10.0.0.300") is a slip, not a name (RFC 1123, section 2.1).
    if name.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit())) {
        return Err("must be a host name or an IP address".to_owned());
    }
    Ok(name.to_ascii_lowercase())
}
