"""The hub VNet's peerings: desired rows and the documents of both sides."""
