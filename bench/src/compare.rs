//! coregate beside nginx and HAProxy on this machine, as ratios within one run.
//!
//! Each gateway has one CPU; the origin and the load share another. They take turns, so that what disturbs the
//! machine disturbs all of them; medians of the rounds are compared.
//!
//! | module | what |
//! |---|---|
//! | [`administered`] | the admin with a large configuration |
//! | [`child`] | a process that ends with its guard |
//! | [`gateway`] | starting coregate, nginx and HAProxy with equal features |
//! | [`governed`] | the same with limits, access lists and an access log |
//! | [`machine`] | what the numbers were taken on |
//! | [`protocols`] | TLS, HTTP/2 and TCP services |
//! | [`throughput`] | the comparison under load |
//! | [`idle`] | memory of idle connections, CPU of an idle process |
//! | [`results`] | the table, and its place in RESULTS.md |

pub mod administered;
pub mod child;
pub mod gateway;
pub mod governed;
pub mod idle;
pub mod machine;
pub mod protocols;
pub mod results;
pub mod throughput;

/// The middle one (the lower of two); NaN of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_of_some_and_of_none() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_bits(), 2f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0]).to_bits(), 1f64.to_bits());
        assert!(median(vec![]).is_nan());
    }
}
