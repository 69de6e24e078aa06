use super::policy_words::BucketWords;
use crate::{
    caller::Caller,
    identities::Identities,
    identity::Identity,
    policy::{Policy, Question, Verdict, matches},
};

const ROOT: &str = "arn:aws:iam::111122223333:root";
const MOVER: &str = "arn:aws:iam::111122223333:user/mover";
const APP: &str = "arn:aws:iam::111122223333:role/app/writer";
const STRANGER: &str = "arn:aws:iam::999988887777:user/stranger";

fn identities() -> Identities {
    let others = [Identity::new(MOVER, "AKIDMOVER", "mover"), Identity::new(APP, "AKIDAPP", "app")];
    Identities::of("111122223333", ("AKIDROOT", "root"), &others).unwrap()
}

fn policy(statements: &str) -> Policy {
    let text = format!(r#"{{"Version": "2012-10-17", "Id": "x", "Statement": {statements}}}"#);
    Policy::read(&text, &BucketWords("b"), &identities()).unwrap()
}

fn refusal(text: &str) -> String {
    Policy::read(text, &BucketWords("b"), &identities()).expect_err(text)
}

fn ask(policy: &Policy, caller: &str, action: &str, resource: &str) -> Verdict {
    let caller = &Caller::parse(caller).unwrap();
    policy.decide(Question { caller, action, resource, ignores_conditional_deny: false })
}

/// One statement that denies, and whether it denies `s3:PutObject` on `b/k` to root, mover, app and
/// stranger, in this order.
#[track_caller]
fn denies(who_and_conditions: &str, expected: [bool; 4]) {
    let policy = policy(&format!(
        r#"{{"Effect": "Deny", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::b/*", {who_and_conditions}}}"#
    ));
    let denied = [ROOT, MOVER, APP, STRANGER]
        .map(|caller| ask(&policy, caller, "s3:PutObject", "arn:aws:s3:::b/k") == Verdict::Denied);
    assert_eq!(denied, expected, "{who_and_conditions}");
}

#[test]
fn principals_are_everyone_accounts_and_names() {
    denies(r#""Principal": "*""#, [true, true, true, true]);
    denies(r#""Principal": {"AWS": "*"}"#, [true, true, true, true]);
    denies(r#""Principal": {"AWS": "111122223333"}"#, [true, true, true, false]);
    denies(&format!(r#""Principal": {{"AWS": "{ROOT}"}}"#), [true, true, true, false]);
    denies(&format!(r#""Principal": {{"AWS": ["{APP}", "{STRANGER}"]}}"#), [false, false, true, true]);
}

#[test]
fn who_is_spared_is_named_together_with_the_account() {
    denies(&format!(r#""NotPrincipal": {{"AWS": "{MOVER}"}}"#), [true, true, true, true]);
    denies(&format!(r#""NotPrincipal": {{"AWS": ["{MOVER}", "{ROOT}"]}}"#), [false, false, true, true]);
    denies(&format!(r#""NotPrincipal": {{"AWS": ["{MOVER}", "111122223333"]}}"#), [false, false, true, true]);
    denies(r#""NotPrincipal": "*""#, [false, false, false, false]);
}

#[test]
fn conditions_look_at_the_callers_name() {
    let on = |operator: &str, values: &str| {
        format!(r#""Principal": "*", "Condition": {{"{operator}": {{"aws:PrincipalArn": {values}}}}}"#)
    };
    let mover = format!("\"{MOVER}\"");
    denies(&on("StringEquals", &mover), [false, true, false, false]);
    denies(&on("StringNotEquals", &mover), [true, false, true, true]);
    denies(&on("StringNotEquals", &format!("[\"{MOVER}\", \"{ROOT}\"]")), [false, false, true, true]);
    denies(&on("StringLike", "\"arn:aws:iam::1111*\""), [true, true, true, false]);
    denies(&on("StringNotLike", "\"arn:aws:iam::1111*\""), [false, false, false, true]);
    denies(&on("StringEquals", "\"arn:aws:iam::1111*\""), [false, false, false, false]);
    denies(&on("ArnEquals", "\"arn:aws:iam::*:user/*\""), [false, true, false, true]);
    denies(&on("ArnNotEquals", "\"arn:aws:iam::*:user/*\""), [true, false, true, false]);
    denies(&on("ArnLike", "\"arn:aws:iam::111122223333:role/app/writ??\""), [false, false, true, false]);
    denies(&on("ArnNotLike", &mover), [true, false, true, true]);
    // A star stays within its part of an ARN, but not of a string.
    denies(&on("ArnLike", "\"arn:aws:iam::*r:*:*\""), [false, false, false, false]);
    // Names of keys have no case; all operators and keys must hold.
    denies(
        r#""Principal": "*", "Condition": {"ArnLike": {"AWS:principalarn": "arn:aws:iam::*:user/*"},
            "StringNotLike": {"aws:PrincipalArn": "*stranger"}}"#,
        [false, true, false, false],
    );
}

#[test]
fn actions_and_resources_are_patterns() {
    let says = |what: &str, on: &str, action: &str, resource: &str| {
        let statement = format!(r#"{{"Effect": "Allow", "Principal": "*", {what}, "Resource": {on}}}"#);
        ask(&policy(&statement), MOVER, action, resource) == Verdict::Allowed
    };
    let (bucket, keys) = (r#""arn:aws:s3:::b""#, r#""arn:aws:s3:::b/*""#);
    let both = r#"["arn:aws:s3:::b", "arn:aws:s3:::b/*"]"#;
    let (b, k) = ("arn:aws:s3:::b", "arn:aws:s3:::b/dir/k");
    assert!(says(r#""Action": "s3:GetObject""#, keys, "s3:GetObject", k));
    assert!(says(r#""Action": "s3:getobject""#, keys, "s3:GetObject", k), "actions have no case");
    assert!(!says(r#""Action": "s3:GetObject""#, keys, "s3:GetObjectVersion", k));
    assert!(says(r#""Action": "s3:Get*""#, keys, "s3:GetObjectVersion", k));
    assert!(says(r#""Action": ["s3:ListBucket", "s3:*Object"]"#, both, "s3:DeleteObject", k));
    assert!(says(r#""Action": "s3:?etObject""#, keys, "s3:GetObject", k));
    assert!(says(r#""Action": "*""#, bucket, "s3:ListBucket", b));
    assert!(!says(r#""Action": "s3:*""#, keys, "s3:ListBucket", b));
    assert!(!says(r#""Action": "s3:*""#, bucket, "s3:GetObject", k));
    assert!(says(r#""Action": "s3:*""#, r#""arn:aws:s3:::b*""#, "s3:GetObject", k));
    assert!(says(r#""Action": "s3:*""#, r#""arn:aws:s3:::b/di?/*""#, "s3:GetObject", k));
    assert!(!says(r#""Action": "s3:*""#, r#""arn:aws:s3:::b/DIR/*""#, "s3:GetObject", k), "keys have case");
    assert!(says(r#""NotAction": "s3:Get*""#, both, "s3:PutObject", k));
    assert!(!says(r#""NotAction": "s3:Get*""#, both, "s3:GetObject", k));
}

#[test]
fn one_denial_outweighs_every_permission() {
    let both = policy(
        r#"[{"Sid": "yes", "Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::b/*"},
            {"Sid": "no", "Effect": "Deny", "Principal": {"AWS": "999988887777"}, "Action": "s3:Put*",
             "Resource": "arn:aws:s3:::b/*"}]"#,
    );
    let key = "arn:aws:s3:::b/k";
    assert_eq!(ask(&both, STRANGER, "s3:PutObject", key), Verdict::Denied);
    assert_eq!(ask(&both, STRANGER, "s3:GetObject", key), Verdict::Allowed);
    assert_eq!(ask(&both, MOVER, "s3:PutObject", key), Verdict::Allowed);
    assert_eq!(ask(&both, STRANGER, "s3:ListBucket", "arn:aws:s3:::b"), Verdict::Silent);
}

#[test]
fn a_server_that_ignores_conditional_denials_keeps_the_plain_ones() {
    let deny = |who: &str| {
        policy(&format!(
            r#"{{"Effect": "Deny", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::b/*", "Principal": {who}}}"#
        ))
    };
    let conditional = format!(r#""*", "Condition": {{"ArnNotEquals": {{"aws:PrincipalArn": "{MOVER}"}}}}"#);
    let caller = &Caller::parse(APP).unwrap();
    let question =
        Question { caller, action: "s3:PutObject", resource: "arn:aws:s3:::b/k", ignores_conditional_deny: true };
    assert_eq!(deny(&conditional).decide(question), Verdict::Silent);
    assert_eq!(deny("\"*\"").decide(question), Verdict::Denied);
    assert_eq!(deny(&format!(r#"{{"AWS": "{APP}"}}"#)).decide(question), Verdict::Denied);
    let honest = Question { ignores_conditional_deny: false, ..question };
    assert_eq!(deny(&conditional).decide(honest), Verdict::Denied);
}

#[test]
fn what_is_not_understood_is_refused() {
    let whole = |statement: &str| format!(r#"{{"Version": "2012-10-17", "Statement": [{statement}]}}"#);
    let with = |change: (&str, &str)| {
        let good = r#"{"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::b/*"}"#;
        Policy::read(&whole(good), &BucketWords("b"), &identities()).unwrap();
        assert!(good.contains(change.0), "{change:?}");
        refusal(&whole(&good.replace(change.0, change.1)))
    };
    let who = r#""Principal": "*""#;
    for (from, to, reason) in [
        ("Deny", "deny", "Invalid effect"),
        (r#""Effect": "Deny", "#, "", "missing field"),
        (r#""Effect""#, r#""Effect": "Allow", "Effect""#, "duplicate field"),
        (r#""Effect""#, r#""Expires": "never", "Effect""#, "unknown field"),
        (r#""Principal": "*", "#, "", "Missing required field Principal"),
        (who, r#""Principal": "mover""#, "Invalid principal"),
        (who, r#""Principal": {"AWS": []}"#, "empty"),
        (who, r#""Principal": {"Service": "backup.amazonaws.com"}"#, "unknown field"),
        (who, r#""Principal": {"AWS": "arn:aws:iam::111122223333:user/*"}"#, "Invalid principal"),
        (who, r#""Principal": {"AWS": "arn:aws:iam::111122223333:user/nobody"}"#, "Invalid principal"),
        (who, r#""Principal": "*", "NotPrincipal": "*""#, "exclude each other"),
        (r#""Deny", "Principal""#, r#""Allow", "NotPrincipal""#, "NotPrincipal"),
        (r#""Action": "s3:PutObject", "#, "", "Missing required field Action"),
        ("s3:PutObject", "s3:PutObjekt", "invalid action"),
        ("s3:PutObject", "dynamodb:PutItem", "invalid action"),
        ("s3:PutObject", "s3:ListBucket", "does not apply"),
        ("arn:aws:s3:::b/*", "arn:aws:s3:::b", "does not apply"),
        ("arn:aws:s3:::b/*", "arn:aws:s3:::other/*", "invalid resource"),
        ("arn:aws:s3:::b/*", "arn:aws:s3:::bb/*", "invalid resource"),
        ("arn:aws:s3:::b/*", "arn:aws:s3:::b/${aws:username}/*", "invalid resource"),
        (r#""Resource": "#, r#""NotResource": "#, "unknown field"),
        (who, r#""Principal": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}"#, "Condition type"),
        (who, r#""Principal": "*", "Condition": {"StringEquals": {"aws:SourceIp": "*"}}"#, "condition key"),
        (who, r#""Principal": "*", "Condition": {"ArnLike": {"aws:PrincipalArn": "*"}}"#, "condition value"),
        (who, r#""Principal": "*", "Condition": {"StringEquals": {"aws:PrincipalArn": "${x}"}}"#, "condition value"),
        (who, r#""Principal": "*", "Condition": {"ArnLike": {"aws:PrincipalArn": []}}"#, "empty"),
        (
            who,
            r#""Principal": "*", "Condition": {"StringLike": {"aws:PrincipalArn": "a", "AWS:principalArn": "b"}}"#,
            "twice",
        ),
    ] {
        let said = with((from, to));
        assert!(said.contains(reason), "{to}: {said}");
    }
    for text in ["", "{}", "[]", "null", r#"{"Statement": []}"#, r#"{"Version": "2012-10-17", "Statement": "x"}"#] {
        refusal(text);
    }
    let good = r#"{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::b/*"}"#;
    assert!(refusal(&whole(good).replace("2012-10-17", "2020-01-01")).contains("version"));
    assert!(refusal(&(whole(good) + &" ".repeat(20 << 10))).contains("size"));
}

#[test]
fn patterns_reach_as_far_as_they_must() {
    for (pattern, text, expected) in [
        ("", "", true),
        ("*", "", true),
        ("?", "", false),
        ("a*c*e", "abcde", true),
        ("a*c*e", "abcdef", false),
        ("*a*a", "aXaYa", true),
        ("**b", "aab", true),
        ("a?c", "aéc", true),
        ("a", "A", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
    }
}
