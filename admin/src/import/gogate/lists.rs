//! gogate's lists in a column of text.

use std::net::IpAddr;

/// The elements of a list that is separated by commas or lines.
pub fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '\n', '\r', ';']).map(str::trim).filter(|element| !element.is_empty())
}

/// A list of addresses.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Networks and addresses, as the configuration writes them.
    pub networks: Vec<String>,
    /// Elements that are neither; in gogate they fitted nobody.
    pub unreadable: Vec<String>,
    /// Elements that gogate compared as texts, so that they fitted nobody, and that are networks here.
    pub widened: Vec<String>,
}

impl Addresses {
    /// Reads a list; what stands in it twice is taken once.
    pub fn read(text: &str) -> Self {
        let mut list = Self::default();
        let mut seen = std::collections::HashSet::new();
        for element in split(text) {
            if let Ok(address) = element.parse::<IpAddr>() {
                if seen.insert(address.to_string()) {
                    list.networks.push(address.to_string());
                }
            } else if let Ok(network) = element.parse::<ipnet::IpNet>() {
                let network = network.trunc().to_string();
                if seen.insert(network.clone()) {
                    list.networks.push(network);
                }
                list.widened.push(element.to_owned());
            } else {
                list.unreadable.push(element.to_owned());
            }
        }
        list
    }

    /// Whether nothing was in the column.
    pub fn is_blank(&self) -> bool {
        self.networks.is_empty() && self.unreadable.is_empty()
    }

    /// What there is to tell of the list, for each column once.
    pub fn tell(&self, column: &str, mut tell: impl FnMut(String)) {
        if !self.unreadable.is_empty() {
            tell(format!(
                "{column} has {}, which is no IP address and fitted nobody in gogate: left out",
                shown(&self.unreadable)
            ));
        }
        if !self.widened.is_empty() {
            tell(format!(
                "{column} has {}: gogate compared texts, so no client ever fitted; here it means the whole network",
                shown(&self.widened)
            ));
        }
    }
}

/// Elements in quotes, a few of them.
pub fn shown(elements: &[String]) -> String {
    const SHOWN_MAX: usize = 5;
    let mut text: Vec<String> = elements.iter().take(SHOWN_MAX).map(|it| quoted(it)).collect();
    if elements.len() > SHOWN_MAX {
        text.push(format!("and {} more", elements.len() - SHOWN_MAX));
    }
    text.join(", ")
}

/// A text in quotes, cut when it is long.
pub fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_tells_what_it_could_not() {
        let list = Addresses::read("10.0.0.1, 10.0.0.1\n192.168.0.7/16,, nonsense ,::1");
        assert_eq!(list.networks, ["10.0.0.1", "192.168.0.0/16", "::1"]);
        assert_eq!(list.unreadable, ["nonsense"]);
        assert_eq!(list.widened, ["192.168.0.7/16"]);
        let mut told = Vec::new();
        list.tell("black_list", |message| told.push(message));
        assert_eq!(told.len(), 2);
        assert!(Addresses::read(" ,\n").is_blank());
    }
}
