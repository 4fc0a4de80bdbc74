//! Which requests of a sample two configurations route, refuse or limit differently.
//!
//! Equal requests are asked once and counted, as an access log has many. Bounds: [`RESULTS_MAX`] differences are shown, and
//! the sample is as large as a request's body may be.

use std::collections::HashMap;

use coregate::explain::Request;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Asked, Ground, Outcome, log};

/// Most differences that are shown; all are counted.
pub const RESULTS_MAX: usize = 500;

/// What to ask.
pub enum Sample<'a> {
    /// Requests that somebody typed.
    Typed(&'a [Asked]),
    /// Lines of an access log, and the host of those that have none.
    Log(&'a str, Option<&'a str>),
}

/// How two configurations differ.
#[derive(Debug, Serialize, ToSchema)]
pub struct Comparison {
    /// Requests that were asked about, equal ones counted.
    pub compared: u64,
    /// Lines that could not be read, and requests that there cannot be.
    pub skipped: u64,
    /// Requests with a difference, equal ones counted.
    pub differing: u64,
    /// Only those with a difference, in the order of the sample.
    pub results: Vec<Difference>,
    /// There are more differences than are shown.
    pub truncated: bool,
}

/// A request with a difference.
#[derive(Debug, Serialize, ToSchema)]
pub struct Difference {
    /// What was asked.
    pub request: Asked,
    /// How often it stands in the sample.
    pub count: u64,
    /// Under the one.
    pub before: Outcome,
    /// Under the other.
    pub after: Outcome,
}

/// Asks both about each request of a sample.
pub fn compare(before: &Ground, after: &Ground, sample: &Sample, now_unix_seconds: u64) -> Comparison {
    let mut counts: HashMap<Request, (usize, u64)> = HashMap::new();
    let mut order: Vec<(Asked, Request)> = Vec::new();
    let mut skipped = 0;
    let mut take = |asked: Option<Asked>| {
        let read = asked.and_then(|asked| {
            let request = asked.request(before.snapshot(), now_unix_seconds).ok()?;
            Some((asked, request))
        });
        let Some((asked, request)) = read else {
            skipped += 1;
            return;
        };
        let next = order.len();
        let (_, count) = counts.entry(request.clone()).or_insert((next, 0));
        *count += 1;
        if *count == 1 {
            order.push((asked, request));
        }
    };
    match sample {
        Sample::Typed(requests) => requests.iter().for_each(|asked| take(Some(asked.clone()))),
        Sample::Log(text, host) => {
            text.lines().filter(|line| !line.trim().is_empty()).for_each(|line| take(log::read(line, *host)));
        }
    }
    let mut comparison =
        Comparison { compared: 0, skipped, differing: 0, results: Vec::new(), truncated: false };
    for (asked, request) in order {
        let count = counts.get(&request).map_or(0, |(_, count)| *count);
        comparison.compared += count;
        // Credentials are another tenant's, or nobody's, if the configuration says so.
        let in_after = if asked.tenant.is_none() {
            asked.request(after.snapshot(), now_unix_seconds).ok()
        } else {
            None
        };
        let old = Outcome::of(before, &before.ask(&request, |_, _| true));
        let new = Outcome::of(after, &after.ask(in_after.as_ref().unwrap_or(&request), |_, _| true));
        if !old.differs_from(&new) {
            continue;
        }
        comparison.differing += count;
        if comparison.results.len() < RESULTS_MAX {
            let mut request = asked;
            hide_credentials(&mut request);
            comparison.results.push(Difference { request, count, before: old, after: new });
        } else {
            comparison.truncated = true;
        }
    }
    comparison
}

/// What was sent to be compared does not come back where others see it.
fn hide_credentials(asked: &mut Asked) {
    for (name, value) in &mut asked.headers {
        if name.eq_ignore_ascii_case("authorization") {
            "***".clone_into(value);
        }
    }
}
