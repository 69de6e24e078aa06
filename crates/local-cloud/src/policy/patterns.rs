//! Patterns in policies: `*` stands for any characters, and `?` for one.

/// Whether an action fits a pattern; names of actions have no case.
pub(crate) fn matches_action(pattern: &str, action: &str) -> bool {
    matches(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase())
}

/// Whether a text fits a pattern in which `*` stands for any characters and `?` for one.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut from) = (0, 0);
    // The place of the last star, and how far it reached.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(sign) if *sign == '?' || *sign == text[from] => (at, from) = (at + 1, from + 1),
            _ => match star {
                Some((place, reached)) => {
                    star = Some((place, reached + 1));
                    (at, from) = (place + 1, reached + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|sign| *sign == '*')
}
