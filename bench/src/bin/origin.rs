//! `coregate-origin`: an origin that is not the bottleneck of a measurement.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use coregate::net;
use coregate_bench::origin::{self, Answer};

/// An HTTP/1.1 origin that answers every request with the same text.
#[derive(Debug, Parser)]
#[command(name = "coregate-origin")]
struct Cli {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2003")]
    listen: SocketAddr,
    /// Threads, each with its own listening socket on the address
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// CPU of the first thread; the others take those after it
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// Bytes of the answer's body, instead of a short text
    #[arg(long, value_name = "N")]
    bytes: Option<usize>,
}

fn main() -> ExitCode {
    net::warm_up_sleep();
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coregate-origin: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), String> {
    net::probe(cli.threads.max(1)).map_err(|error| error.to_string())?;
    let mut threads = Vec::new();
    for index in 0..cli.threads.max(1) {
        // All of them before the first one serves, so that a port in use is told at once.
        let listener = origin::listen(cli.listen)?;
        let (cpu, bytes) = (cli.cpu.map(|cpu| cpu + index), cli.bytes);
        let serve = move || origin::serve(listener, cpu, Answer::new(bytes));
        let thread = thread::Builder::new().name(format!("origin-{index}")).spawn(serve);
        threads.push(thread.map_err(|error| error.to_string())?);
    }
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked".to_owned())??;
    }
    Ok(())
}
