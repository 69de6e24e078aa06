//! [`Words`]: what the policies of a service may name.

/// The resources and actions that a policy may name. What it may not name, a server does not take.
pub(crate) trait Words {
    /// Whether a policy may name this resource, or why not.
    fn resource(&self, resource: &str) -> Result<(), String>;

    /// Whether a policy may name these actions, as patterns, together with these resources, or why not. No resources
    /// are given where the actions are those that are left out.
    fn actions(&self, actions: &[String], resources: &[String]) -> Result<(), String>;
}
