//! What the clients have in common of the AWS SDK. Only this folder and the `wire/sdk` folders of the clients know it.

pub(crate) mod connect;
pub(crate) mod failure;
