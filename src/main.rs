//! The `migrate` program; see the library's crate documentation for the map.

use std::process::ExitCode;

fn main() -> ExitCode {
    migrate::cli::run()
}
