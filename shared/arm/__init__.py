"""Azure Resource Manager: the client, its failures, and how a resource is brought to its desired state."""
