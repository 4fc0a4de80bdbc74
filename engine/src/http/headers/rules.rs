//! Header rules of a service, compiled for the writers.
//!
//! Input: checked rules (stage: configuration). Output: [`Rules`], immutable, shared by the requests of a snapshot.
//! Rules apply in their order to what the gateway would have sent, and win over what it adds, except framing and
//! hop-by-hop fields: a rule for one of those is left out. Host can be set, never removed or doubled.

use coregate_config::checked::{HeaderRule, HeaderRules};

use super::super::syntax::{self, Known};

/// Compiled header rules, both directions.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub(super) request: RuleSet,
    pub(super) response: RuleSet,
}

impl From<&HeaderRules> for Rules {
    fn from(rules: &HeaderRules) -> Self {
        Rules {
            request: RuleSet::compile(&rules.request, true),
            response: RuleSet::compile(&rules.response, false),
        }
    }
}

impl Rules {
    /// The same, and no line of this name that a client sends passes. A rule may still add one.
    pub fn withholding(mut self, name: &str) -> Self {
        let taken = std::mem::take(&mut self.request.taken).into_vec();
        self.request.taken = taken.into_iter().chain([name.into()]).collect();
        self.request.taken_lengths |= length_bit(name);
        self
    }
}

/// What one direction's rules come to: which lines do not pass, and which lines are added.
#[derive(Debug, Clone, Default)]
pub(super) struct RuleSet {
    /// Names of which no line passes, lower case.
    taken: Box<[Box<str>]>,
    /// Bit n: a name of n bytes (63: or more) is in `taken`.
    taken_lengths: u64,
    /// Bit of each [`Made`] that is in `taken`.
    made: u8,
    /// Fields to add.
    pub(super) fields: Box<[(Box<str>, Box<str>)]>,
    /// The same as field lines.
    pub(super) lines: Box<[u8]>,
    /// The Host to send; requests only.
    pub(super) host: Option<Box<str>>,
}

/// Fields that the gateway makes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Made {
    ForwardedFor,
    ForwardedProto,
    ForwardedHost,
    Forwarded,
    RequestId,
    Via,
    Date,
}

impl RuleSet {
    fn compile(rules: &[HeaderRule], request: bool) -> Self {
        let mut taken: Vec<&str> = Vec::new();
        let mut fields: Vec<(&str, &str)> = Vec::new();
        let mut host = None;
        for rule in rules {
            let (HeaderRule::Add(name, _) | HeaderRule::Set(name, _) | HeaderRule::Remove(name)) = rule;
            let known = syntax::classify(name);
            if is_out_of_reach(known) {
                continue;
            }
            if known == Known::Host && request {
                if let HeaderRule::Add(_, value) | HeaderRule::Set(_, value) = rule {
                    host = Some(value.as_str().into());
                }
                continue;
            }
            if let HeaderRule::Set(..) | HeaderRule::Remove(_) = rule {
                fields.retain(|(added, _)| !added.eq_ignore_ascii_case(name));
                taken.push(name);
            }
            if let HeaderRule::Add(_, value) | HeaderRule::Set(_, value) = rule {
                fields.push((name, value));
            }
        }
        let mut lines = Vec::new();
        for (name, value) in &fields {
            super::write_field(&mut lines, name, value.as_bytes());
        }
        RuleSet {
            taken_lengths: taken.iter().fold(0, |lengths, name| lengths | length_bit(name)),
            made: taken.iter().filter_map(|name| made(name)).fold(0, |made, one| made | 1 << one as u8),
            taken: taken.into_iter().map(Into::into).collect(),
            fields: fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            lines: lines.into(),
            host,
        }
    }

    /// True if lines of `name` do not pass.
    #[inline]
    pub(super) fn takes(&self, name: &str) -> bool {
        self.taken_lengths & length_bit(name) != 0
            && self.taken.iter().any(|taken| taken.eq_ignore_ascii_case(name))
    }

    /// True if the rules say what becomes of `field`, so that the gateway does not make it.
    #[inline]
    pub(super) fn makes(&self, field: Made) -> bool {
        self.made >> field as u8 & 1 == 1
    }
}

#[inline]
fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}

/// Framing and hop-by-hop fields. The configuration's check refuses rules for them; this does not rely on it.
fn is_out_of_reach(known: Known) -> bool {
    match known {
        Known::ContentLength
        | Known::TransferEncoding
        | Known::Connection
        | Known::Upgrade
        | Known::Te
        | Known::Expect
        | Known::AppId
        | Known::Hop => true,
        Known::Other
        | Known::Host
        | Known::Date
        | Known::ForwardedFor
        | Known::ForwardedProto
        | Known::ForwardedHost
        | Known::ForwardedOther
        | Known::Forwarded
        | Known::RequestId => false,
    }
}

fn made(name: &str) -> Option<Made> {
    match syntax::classify(name) {
        Known::ForwardedFor => Some(Made::ForwardedFor),
        Known::ForwardedProto => Some(Made::ForwardedProto),
        Known::ForwardedHost => Some(Made::ForwardedHost),
        Known::Forwarded => Some(Made::Forwarded),
        Known::RequestId => Some(Made::RequestId),
        Known::Date => Some(Made::Date),
        _ if name.eq_ignore_ascii_case("via") => Some(Made::Via),
        _ => None,
    }
}
