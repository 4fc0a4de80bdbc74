//! Makes the folder of the dashboard's files, so that the crate builds before `make web` has been run, and has the crate
//! built anew when they change.

fn main() -> std::io::Result<()> {
    let dist = concat!(env!("CARGO_MANIFEST_DIR"), "/web/dist");
    std::fs::create_dir_all(dist)?;
    println!("cargo::rerun-if-changed={dist}");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
