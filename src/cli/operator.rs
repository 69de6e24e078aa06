//! Who gives the commands: the name that approvals, requests and claims keep.

use std::fs;

/// The operator: the user and the machine. If the environment has no name of the user, the list of users has one,
/// or at least there is the number.
pub(super) fn me() -> String {
    let named = || ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let uid = rustix::process::getuid().as_raw();
    let listed = || user_of(uid, &fs::read_to_string("/etc/passwd").ok()?);
    let user = named().or_else(listed).unwrap_or_else(|| format!("uid {uid}"));
    format!("{user}@{}", host())
}

/// The name of a user in the text of a list of users, as passwd(5) describes it.
fn user_of(uid: u32, users: &str) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (!name.is_empty() && number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

pub(super) fn host() -> String {
    match fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) if !name.trim().is_empty() => name.trim().to_owned(),
        _ => std::env::var("HOSTNAME").unwrap_or_else(|_| "this machine".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n\nbroken\n";
        assert_eq!(user_of(1000, users).as_deref(), Some("ann"));
        assert_eq!(user_of(0, users).as_deref(), Some("root"));
        assert_eq!(user_of(7, users), None);
    }
}
