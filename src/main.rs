//! The `migrate` program; see the library's crate documentation for the map.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    migrate::cli::run()
}
