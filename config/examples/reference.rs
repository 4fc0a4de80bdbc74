//! Writes `REFERENCE.md` anew from the schema: `cargo run -p coregate-config --example reference`.

fn main() -> std::io::Result<()> {
    std::fs::write(
        concat!(env!("CARGO_MANIFEST_DIR"), "/REFERENCE.md"),
        coregate_config::reference::markdown(),
    )
}
