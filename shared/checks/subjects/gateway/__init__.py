"""The gateway: what it holds, its network, its WAF and TLS policies."""
