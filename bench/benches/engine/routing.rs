//! Routing among 10, 1,000 and 10,000 services: a third by exact host, a third by wildcard, a third by prefix.

use std::fmt::Write;
use std::hint::black_box;

use coregate::route::{Lookup, RouteTable};
use criterion::Criterion;

const SERVICES: [usize; 3] = [10, 1_000, 10_000];

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("routing");
    for count in SERVICES {
        let gateway = coregate_config::parse_toml(&configuration(count), "routing.toml").unwrap();
        let table = RouteTable::build(&gateway.services);
        // Out of order, as traffic comes: 7,919 is prime.
        let requests: Vec<_> = (0..count).map(|n| request(n * 7_919 % count)).collect();
        let mut next = 0;
        group.bench_function(format!("{count} services"), |bencher| {
            bencher.iter(|| {
                let (host, path) = &requests[next];
                next = if next + 1 == count { 0 } else { next + 1 };
                assert!(matches!(table.lookup(black_box(host), path, "GET"), Lookup::Found(_)));
            });
        });
    }
}

fn configuration(count: usize) -> String {
    let mut text = "[[listeners]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n".to_owned();
    for n in 0..count {
        let route = match n % 3 {
            0 => format!("hosts = [\"host-{n}.example.com\"]\npath_prefix = \"/\""),
            1 => format!(
                "hosts = [\"*.zone-{n}.example.com\"]\npath_prefix = \"/api/v1\"\nmethods = [\"GET\"]"
            ),
            _ => format!("path_prefix = \"/service-{n}/api\""),
        };
        write!(
            text,
            "[[services]]\nname = \"s{n}\"\n[[services.routes]]\n{route}\n[[services.nodes]]\naddress = \"127.0.0.1:2003\"\n"
        )
        .unwrap();
    }
    text
}

fn request(n: usize) -> (String, String) {
    match n % 3 {
        0 => (format!("Host-{n}.example.com:8080"), "/index.html".to_owned()),
        1 => (format!("www.zone-{n}.example.com"), "/api/v1/users".to_owned()),
        _ => ("gateway.example.com".to_owned(), format!("/service-{n}/api/users/17")),
    }
}
