//! Limits: a token from a shard's lease, and one of a client's among one and among 100,000 clients.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use coregate::clock;
use coregate::limit::{Bucket, ClientLimit, ClientTable, Decision, Lease};
use coregate_config::checked::Rate;
use criterion::Criterion;

/// So many that none is refused.
const RATE: Rate = Rate { requests_per_second: 1e8, burst: 1e8 };
const CLIENTS: u32 = 100_000;
/// From one request to the next.
const STEP: Duration = Duration::from_micros(1);

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit");
    let start = clock::read();

    let mut lease = Lease::new(Arc::new(Bucket::new(RATE, 4, start)), start);
    let mut now = start;
    group.bench_function("lease", |bencher| {
        bencher.iter(|| {
            now += STEP;
            assert!(!matches!(lease.admit(now), Decision::Refuse { .. }));
        });
    });

    for clients in [1, CLIENTS] {
        let table = ClientTable::new(CLIENTS as usize * 2, start);
        let limit = ClientLimit::new(1, RATE);
        let (mut now, mut client) = (start, 0);
        group.bench_function(format!("client table, {clients} client(s)"), |bencher| {
            bencher.iter(|| {
                now += STEP;
                client = (client + 97) % clients;
                table.admit(&limit, IpAddr::from(client.to_be_bytes()), now)
            });
        });
    }
}
