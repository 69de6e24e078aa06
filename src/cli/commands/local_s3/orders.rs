//! Orders that change objects behind a tool's back.

use std::collections::BTreeMap;

use migrate_core::digest::sha256;
use migrate_local_cloud::S3Server;

/// All objects under a prefix, as one line of JSON.
fn show(server: &S3Server, prefix: &str) -> String {
    let state = server.state();
    let keys = state.keys("data");
    let shown = keys.iter().filter_map(|key| {
        let object = state.get_object("data", key)?;
        let carried = serde_json::json!({
            "sha256": sha256(&object.data).to_string(), "size": object.data.len(),
            "metadata": object.metadata, "tags": object.tags,
        });
        Some((key.strip_prefix(prefix)?.to_owned(), carried))
    });
    serde_json::Value::Object(shown.collect()).to_string()
}

/// Carries an order out, and says what came of it.
pub(super) fn obey(servers: &BTreeMap<String, S3Server>, line: &str) -> String {
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next().unwrap_or_default();
    let (command, name, key, text) = (word(), word(), word(), word());
    let Some(server) = servers.get(name) else { return format!("no such server: {name:?}") };
    let state = server.state();
    let done = match command {
        "flip" => state.corrupt("data", key, 0),
        "delete" => state.delete("data", key),
        "put" => {
            state.put("data", key, text.to_owned());
            true
        }
        "dress" => match state.get_object("data", key) {
            Some(mut object) => {
                let pairs = |pairs: [(&str, &str); 2]| pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
                object.metadata = pairs([("raw", "caf\u{e9}"), ("word", "=?UTF-8?Q?caf=C3=A9?=")]).into();
                object.tags = pairs([("team", "shop & site"), ("empty", "")]).into();
                state.put_object("data", key, object);
                true
            }
            None => false,
        },
        "show" => return show(server, key),
        "count" => return state.count("data").to_string(),
        _ => return format!("no such command: {command:?}"),
    };
    if done { "done".to_owned() } else { "no such object".to_owned() }
}
