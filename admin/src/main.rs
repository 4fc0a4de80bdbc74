//! The `coregate-admin` command.

fn main() {
    eprintln!("coregate-admin: not built yet");
}
