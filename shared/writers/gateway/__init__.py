"""The Application Gateway: desired sites, the whole document, and what a failed PUT means."""
