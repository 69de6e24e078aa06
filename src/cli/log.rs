//! Logs, to stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::args::LogFormat;

/// The rooms whose lines name keys.
const NAME_KEYS: [&str; 2] = ["migrate::store", "migrate::engine"];

/// Starts to log. Libraries never log below `warn`: what they say there may hold signed requests.
/// Where keys are to be hidden, rooms whose lines name keys stay silent.
pub(super) fn start(format: LogFormat, hides_keys: bool) {
    let filter = EnvFilter::new(directives(format, hides_keys));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // A second start, as in tests, keeps the first.
    let _started = if format.json { builder.json().try_init() } else { builder.with_ansi(colour).try_init() };
}

fn directives(format: LogFormat, hides_keys: bool) -> String {
    let others = format.level.min(tracing::Level::WARN);
    let mut text = format!("{others},migrate={}", format.level).to_lowercase();
    // A rehearsal's server calls an error what its client has provoked on purpose.
    if format.level < tracing::Level::DEBUG {
        text.push_str(",s3s=off");
    }
    if hides_keys {
        for room in NAME_KEYS {
            text.push(',');
            text.push_str(room);
            text.push_str("=off");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_stay_quiet_and_hidden_keys_stay_hidden() {
        let debug = LogFormat { level: tracing::Level::DEBUG, json: false };
        assert_eq!(directives(debug, false), "warn,migrate=debug");
        assert!(directives(debug, true).contains("migrate::store=off"));
        let error = LogFormat { level: tracing::Level::ERROR, json: false };
        assert_eq!(directives(error, false), "error,migrate=error,s3s=off");
    }
}
