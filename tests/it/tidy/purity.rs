//! The members that compute and do nothing else know no runtime, file, clock or chance. Their manifests name
//! no crate for that; what the standard library has of it, their code does not name.

use super::{Complaint, Source, fires, hold, passes};

const PURE: [&str; 2] = ["crates/core/src/", "crates/fault/src/"];

/// What of the standard library is a world outside.
const WORLD: [&[&str]; 6] =
    [&["std", "fs"], &["std", "net"], &["std", "process"], &["std", "env"], &["std", "thread"], &["std", "os"]];

/// Types of these modules that are plain values.
const PLAIN: [&str; 3] = ["IpAddr", "Ipv4Addr", "Ipv6Addr"];

/// What is pure stays pure.
fn purity(source: &Source) -> Vec<Complaint> {
    if !PURE.iter().any(|folder| source.path.starts_with(folder)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for path in &source.paths {
        let is_plain = path.parts.get(2).is_some_and(|name| PLAIN.contains(&name.as_str()));
        let is_clock = path.parts.iter().any(|part| ["SystemTime", "Instant"].contains(&part.as_str()))
            || (path.parts.len() > 1 && path.parts.last().is_some_and(|last| last == "now"));
        if WORLD.iter().any(|world| path.starts(world)) && !is_plain {
            found.push(source.complaint(path.line, format!("this member is pure, and {} is not", path.shown())));
        } else if is_clock {
            found.push(source.complaint(path.line, format!("this member is pure, and {} reads a clock", path.shown())));
        }
    }
    found
}

#[test]
fn pure_members_are_pure() {
    hold(purity);
}

#[test]
fn impurity_is_seen() {
    fires(purity, "crates/core/src/shard.rs", "use std::{fmt,\n fs::File};", 2);
    fires(purity, "crates/core/src/plan/mod.rs", "fn f() { std::fs::read(x) }", 1);
    fires(purity, "crates/core/src/plan/mod.rs", "fn f() { g(vec![\n::std::env::args()]) }", 2);
    fires(purity, "crates/core/src/model/mod.rs", "use std::net::{IpAddr, TcpStream};", 1);
    fires(purity, "crates/fault/src/lib.rs", "use std::process;", 1);
    fires(purity, "crates/core/src/digest.rs", "use std::time::{Duration, Instant};", 1);
    fires(purity, "crates/core/src/digest.rs", "use std::time; fn f() { time::SystemTime::UNIX_EPOCH }", 1);
    fires(purity, "crates/core/src/lifecycle.rs", "fn f() { jiff::Timestamp::now() }", 1);
    fires(purity, "crates/core/src/lifecycle.rs", "fn f() { <A as Clock>::now() }", 1);
    let plain = "use std::{fmt, time::Duration, net::IpAddr}; fn f<'a>(now: &'a u8) { g(now) }";
    passes(purity, "crates/core/src/model/mod.rs", plain);
    passes(purity, "crates/core/src/model/mod.rs", "/// Like std::fs.\nconst A: &str = \"std::fs\";");
    passes(purity, "crates/core/src/model/mod.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}");
    passes(purity, "crates/engine/src/lib.rs", "use std::{fs, time::Instant};");
}
