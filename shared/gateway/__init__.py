"""The shared Application Gateway's document: decided here, purely, and applied by `activities.gateway_writer`."""
