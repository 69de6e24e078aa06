//! From a policy's text to its meaning. An unknown part is refused with a reason, also one that AWS knows
//! and this server does not: a fence that is half understood is no fence.

use std::fmt;

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    statements::{Condition, Policy, Principal, Statement, Test, What, Who},
    words::Words,
};
use crate::{
    caller::{Caller, is_account},
    identities::Identities,
};

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-policies.html>
const SIZE_MAX: usize = 20 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Document {
    version: Option<String>,
    #[serde(rename = "Id")]
    _id: Option<String>,
    statement: Many<StatementText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct StatementText {
    #[serde(rename = "Sid")]
    _sid: Option<String>,
    effect: String,
    principal: Option<PrincipalText>,
    not_principal: Option<PrincipalText>,
    action: Option<Many<String>>,
    not_action: Option<Many<String>>,
    resource: Many<String>,
    #[serde(default)]
    condition: Pairs<Pairs<Many<String>>>,
}

/// One value, or a list of them.
struct Many<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrList<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrList<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a list of values")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
                T::deserialize(serde::de::value::StrDeserializer::new(text)).map(|one| vec![one])
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|one| vec![one])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                Ok(all)
            }
        }
        let values = deserializer.deserialize_any(OneOrList(std::marker::PhantomData))?;
        if values.is_empty() {
            return Err(serde::de::Error::custom("a list is empty"));
        }
        Ok(Self(values))
    }
}

/// A map that keeps duplicate names, which a map type would drop without a word.
struct Pairs<T>(Vec<(String, T)>);

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for All<T> {
            type Value = Vec<(String, T)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all: Self::Value = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if all.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                        return Err(serde::de::Error::custom(format_args!("{name} is there twice")));
                    }
                    all.push((name, value));
                }
                Ok(all)
            }
        }
        deserializer.deserialize_map(All(std::marker::PhantomData)).map(Self)
    }
}

/// `"*"`, or `{"AWS": ...}`.
struct PrincipalText(Vec<String>);

impl<'de> Deserialize<'de> for PrincipalText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Kinds {
            #[serde(rename = "AWS")]
            aws: Many<String>,
        }
        struct StarOrKinds;
        impl<'de> Visitor<'de> for StarOrKinds {
            type Value = Vec<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"*\" or a map with AWS")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                if text == "*" { Ok(vec![text.to_owned()]) } else { Err(E::custom("Invalid principal in policy")) }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                Kinds::deserialize(MapAccessDeserializer::new(map)).map(|kinds| kinds.aws.0)
            }
        }
        deserializer.deserialize_any(StarOrKinds).map(Self)
    }
}

impl Policy {
    /// Understands a policy in the words of a service, or says why not.
    pub(crate) fn read(text: &str, words: &dyn Words, identities: &Identities) -> Result<Self, String> {
        if text.len() > SIZE_MAX {
            return Err("Policy exceeds the maximum allowed document size.".to_owned());
        }
        let document: Document = serde_json::from_str(text)
            .map_err(|error| format!("This policy contains invalid Json or elements: {error}"))?;
        if document.version.is_some_and(|version| version != "2012-10-17" && version != "2008-10-17") {
            return Err("The policy must contain a valid version string".to_owned());
        }
        let statements = document.statement.0.into_iter().map(|text| statement(text, words, identities));
        Ok(Self { statements: statements.collect::<Result<_, _>>()? })
    }
}

fn statement(text: StatementText, words: &dyn Words, identities: &Identities) -> Result<Statement, String> {
    let allows = match text.effect.as_str() {
        "Allow" => true,
        "Deny" => false,
        effect => return Err(format!("Invalid effect: {effect}")),
    };
    let who = match (text.principal, text.not_principal) {
        (Some(named), None) => Who::Only(principals(&named, identities)?),
        // Every caller that is not named would be allowed, anonymous ones too; AWS knows it with Deny alone.
        (None, Some(_)) if allows => return Err("Allow with NotPrincipal is not allowed".to_owned()),
        (None, Some(named)) => Who::AllBut(principals(&named, identities)?),
        (None, None) => return Err("Missing required field Principal".to_owned()),
        (Some(_), Some(_)) => return Err("Principal and NotPrincipal exclude each other".to_owned()),
    };
    let on = text.resource.0;
    for resource in &on {
        words.resource(resource)?;
    }
    let what = match (text.action, text.not_action) {
        (Some(actions), None) => {
            words.actions(&actions.0, &on)?;
            What::Only(actions.0)
        }
        (None, Some(actions)) => {
            words.actions(&actions.0, &[])?;
            What::AllBut(actions.0)
        }
        (None, None) => return Err("Missing required field Action".to_owned()),
        (Some(_), Some(_)) => return Err("Action and NotAction exclude each other".to_owned()),
    };
    let conditions = text.condition.0.into_iter().map(|(operator, keys)| condition(&operator, keys));
    let conditions = conditions.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    Ok(Statement { allows, who, what, on, conditions })
}

/// AWS looks principals of the same account up, and refuses a policy that names one in vain.
fn principals(named: &PrincipalText, identities: &Identities) -> Result<Vec<Principal>, String> {
    let understood = named.0.iter().map(|name| match name.as_str() {
        "*" => Some(Principal::Everyone),
        account if is_account(account) => Some(Principal::Account(account.to_owned())),
        arn => {
            let caller = Caller::parse(arn)?;
            if caller.is_root() {
                return Some(Principal::Account(caller.account));
            }
            identities.may_name(&caller).then_some(Principal::Arn(caller.arn))
        }
    });
    understood.collect::<Option<_>>().ok_or_else(|| format!("Invalid principal in policy: {}", named.0.join(", ")))
}

fn condition(operator: &str, keys: Pairs<Many<String>>) -> Result<Vec<Condition>, String> {
    let (test, negated) = match operator {
        "StringEquals" => (Test::Equals, false),
        "StringNotEquals" => (Test::Equals, true),
        "StringLike" => (Test::Like, false),
        "StringNotLike" => (Test::Like, true),
        "ArnEquals" | "ArnLike" => (Test::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Test::Arn, true),
        _ => return Err(format!("Invalid Condition type: {operator}")),
    };
    let read = |(key, Many(values)): (String, Many<String>)| {
        if !key.eq_ignore_ascii_case("aws:PrincipalArn") {
            return Err(format!("Policy has an invalid condition key: {key}"));
        }
        let is_arn = |value: &String| value.starts_with("arn:") && value.split(':').count() >= 6;
        let variable = values.iter().any(|value| value.contains("${"));
        if variable || (test == Test::Arn && !values.iter().all(is_arn)) {
            return Err(format!("Policy has an invalid condition value: {}", values.join(", ")));
        }
        Ok(Condition { test, negated, values })
    };
    keys.0.into_iter().map(read).collect()
}
